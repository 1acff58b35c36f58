"""Scratch workspaces: folders in which stages of a recipe run with other settings, beside the project.

    now = snapshot(recipe, folder / "own", command, say)   what the recipe reads and has made, and its code, as they are
    other = now.branch(folder / "other", {"tokenize.vocab_size": 300}, ["tokenize"], say)   made up to it

A workspace is a DVC project of its own whose cache is that of the project: DVC runs there what the change makes stale,
unless its cache has it, and all else is linked. data/<recipe>, dvc.lock, MLflow's registry and the champion of the
project stay as they are, and a run of the recipe may start once the snapshot is taken. Code, texts and the models that
recipes start from are part of the snapshot, so nothing that is edited meanwhile changes what is measured.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.graph import CODE, Node, changes, opened, read_graph
from flows.progress import working
from flows.recipes import check, listed_recipes, load_graph, wanted_entry
from flows.reproduce.execute import no_record
from flows.runner import ask, crash, run_watched
from flows.stop import Stopped, stopped_at
from flows.workspace import claim
from tasks.stage.errors import GristmillError
from tasks.stage.run import DATA
from tasks.stage.settings import RECIPES, read_yaml, recipe_path

if TYPE_CHECKING:
    from tasks.recipe import Recipe

TRAINED = ("model", "training/report.json", "training/history.csv")
"""What the stage train leaves under data/<recipe>."""
TRAINS_ON = ("base", "tokenizer", "tokens")
"""What it reads there."""
SOURCE = Path(__file__).resolve().parents[1]
"""The folder of this code; workspaces import `flows` from it, and `tasks` from their own copy."""
PROJECT = ("dvc.lock", ".dvcignore", ".dvc/config", RECIPES.as_posix())
"""What makes a folder a project, beside dvc.yaml; copied, since it is written in place."""
OWN_RECORD = "record: "
"""How a training begins a line about its record in MLflow, which the workspace does not have."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Workspace:
    """A folder in which programs of a recipe run."""

    recipe: str
    folder: Path
    goes_on: str
    """The command that takes up what is stopped here."""

    @property
    def data(self) -> Path:
        """`data/<recipe>` of this workspace."""
        return self.folder / DATA / self.recipe

    @property
    def recipe_file(self) -> Path:
        """Its recipe."""
        return self.folder / recipe_path(self.recipe)

    def training(self) -> dict[str, Any]:
        """What the stage train says about its model."""
        return dict(json.loads((self.data / TRAINED[1]).read_text(encoding="utf-8"))["details"])

    def is_trained(self) -> bool:
        """Whether the stage train has ended here."""
        return all((self.data / name).exists() for name in TRAINED)

    def fill(self, source: Path, names: Iterable[str], content: Mapping[str, Any]) -> None:
        """Link what stages read from another workspace, and write the recipe; what a training has left here stays."""
        for name in (DATA / "code", *(DATA / self.recipe / name for name in names)):
            remove(self.folder / name)
            link(source / name, self.folder / name)
        remove(self.folder / "tasks")
        link(source / "tasks", self.folder / "tasks")
        self.write_recipe(content)

    def write_recipe(self, content: Mapping[str, Any]) -> None:
        """Write the recipe, in place of a link to the project's."""
        place = self.folder / RECIPES / f"{self.recipe}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")  # JSON is YAML

    def run(
        self, address: str, module: str, arguments: list[str], say: Say, flow_run: str = "",
        watch: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Run a program here; `address` begins with its stage. Raises StageFailed, Stopped, and what `watch` raises."""
        with self.environment() as more:
            code, lines = run_watched(
                address.partition("@")[0], address, module, arguments, _without_record(say), flow_run, self.folder,
                more, watch,
            )  # fmt: skip
        if code != 0:
            raise crash(address, code, lines)

    def ask(self, node: Node, say: Say) -> None:
        """Let DVC run a stage here if it is stale. Raises StageFailed and Stopped."""
        with self.environment() as more:
            ask(node, _without_record(say), folder=self.folder, more=more)

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Variables of programs that run here. A stop in the block names the command that goes on."""
        paths = filter(None, [str(self.folder), str(SOURCE), os.environ.get("PYTHONPATH")])
        try:
            with no_record() as quiet:
                yield {"PYTHONPATH": os.pathsep.join(paths), **quiet}
        except Stopped as stop:
            ours = f"`{self.goes_on}`"
            told = str(stop).replace(f"`gristmill run {self.recipe}`", ours).replace("the next run", f"the next {ours}")
            raise stopped_at(stop.number, told) from None


@dataclass(frozen=True)
class Snapshot:
    """What a recipe reads and has made, and its code, at one time; see `snapshot`."""

    workspace: Workspace
    nodes: list[Node]
    """Its stages, and `code`, in order."""
    stale: frozenset[str]
    """Addresses that DVC would run in the project."""
    inputs: tuple[str, ...]
    """Paths that they read and none of them makes."""
    recipe: "Recipe" = field(repr=False)
    content: dict[str, Any] = field(repr=False)
    """The recipe as it is written."""

    def branch(self, folder: Path, values: Mapping[str, Any], until: Collection[str], say: Say) -> Workspace:
        """A workspace with other settings, in which the stages `until` and all that they need are up to date.

        Stages that neither the change nor the project makes stale are linked from the snapshot; DVC makes the others,
        or takes them from its cache. Raises RecipeError, StageFailed and Stopped.
        """
        from flows.overrides import changed, require_values, stages_of

        recipe = self.workspace.recipe
        content = changed(self.content, values)
        nodes = self._up_to(until)
        touched = {f"{stage}@{recipe}" for key in values for stage in stages_of(recipe, key)} | self.stale
        stale = set(self.stale if CODE not in self.stale else {node.address for node in nodes})
        for node in nodes:
            if node.address in touched or not stale.isdisjoint(node.upstream):
                stale.add(node.address)
        workspace = Workspace(recipe, folder, self.workspace.goes_on)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = [out for node in nodes if node.address not in stale for out in node.outs]
        for path in [*self.inputs, *PROJECT, *(out for node in nodes for out in node.outs)]:
            remove(folder / path)  # of an earlier try, which leaves its checkpoints
        for path in [*self.inputs, *fresh, *PROJECT]:
            if (self.workspace.folder / path).exists():
                link(self.workspace.folder / path, folder / path, copy_files=path in PROJECT)
        workspace.write_recipe(content)
        wired = wanted_entry(recipe, require_values(recipe, values), listed_recipes()) if values else {}
        _write_graph(recipe, folder, wired)
        for path in filter(None, wired.values()):
            if not (folder / path).exists():
                _require_made(path)
                link(Path(path), folder / path)
        for node in nodes:
            if node.address in stale:
                with working(node.address, say) as hear:
                    workspace.ask(node, hear)
        return workspace

    def _up_to(self, until: Collection[str]) -> list[Node]:
        """Stages and all that they need, in order."""
        wanted = {f"{stage}@{self.workspace.recipe}" for stage in until}
        for node in reversed(self.nodes):
            if node.address in wanted:
                wanted.update(node.upstream)
        return [node for node in self.nodes if node.address in wanted]


def snapshot(recipe: str, folder: Path, goes_on: str, say: Say) -> Snapshot:
    """Keep what a recipe reads and has made in a new folder, as links, while no run changes it.

    Raises RecipeError for a broken recipe, BusyWorkspace during a run of the recipe, GristmillError if a recipe that
    it starts from is not up to date.
    """
    loaded = check(recipe)
    nodes = read_graph(recipe)
    others = [node.address for node in nodes if node.recipe not in ("", recipe)]
    own = [node for node in nodes if node.recipe in ("", recipe)]
    folder = folder.absolute()
    remove(folder)
    with claim(recipe, [node.recipe for node in nodes if node.recipe], say):
        stale = frozenset(changes([node.address for node in nodes]))
        if first := next((address for address in others if address in stale), None):
            name = first.partition("@")[2]
            raise GristmillError(
                f"{recipe}: it starts from {name}, which is not up to date; first: gristmill run {name}"
            )
        inputs, cache = _inputs(own)
        for path in inputs:
            _require_made(path)
            link(Path(path), folder / path, copy_files=path == "tasks")
        for node in own:
            for out in node.outs:
                if node.address not in stale and Path(out).exists():
                    link(Path(out), folder / out)
        for name in PROJECT:
            if Path(name).exists():
                link(Path(name), folder / name, copy_files=True)
        content = read_yaml(recipe_path(recipe))
        _write_graph(recipe, folder, {})
    own_settings: dict[str, Any] = {
        "analytics": "false",
        "check_update": "false",
        "no_scm": "true",
        "site_cache_dir": folder / ".dvc/site",
    }
    sections: dict[str, dict[str, Any]] = {"core": own_settings, "cache": cache}
    (folder / ".dvc/config").write_text(
        "".join(
            f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for name, keys in sections.items()
        ),
        encoding="utf-8",
    )
    return Snapshot(Workspace(recipe, folder, goes_on), own, stale, tuple(inputs), loaded, content)


def _inputs(nodes: list[Node]) -> tuple[list[str], dict[str, str]]:
    """What stages read and none of them makes, inside the project, and the section `cache` of DVC's settings."""
    addresses, made = {node.address for node in nodes}, [Path(out) for node in nodes for out in node.outs]
    from dvc.dependency import ParamsDependency

    with opened() as repo:
        paths = {
            Path(dep.fs_path).relative_to(repo.root_dir).as_posix()
            for stage in repo.index.stages if stage.addressing in addresses
            for dep in stage.deps if dep.is_in_repo and not isinstance(dep, ParamsDependency)
        }  # fmt: skip
        kinds = repo.config["cache"].get("type")
        cache = {"dir": str(repo.cache.local.path).removesuffix("/files/md5")} | (
            {"type": ",".join(kinds)} if kinds else {}
        )
    outside = [path for path in sorted(paths) if not any(Path(path).is_relative_to(out) for out in made)]
    return outside, cache


def _write_graph(recipe: str, folder: Path, wired: Mapping[str, str | None]) -> None:
    """dvc.yaml with this recipe alone, which reads what `wired` names."""
    graph = load_graph()
    for variables in graph["vars"]:
        if isinstance(variables, dict) and "recipes" in variables:
            own = variables["recipes"][recipe]
            variables["recipes"] = {recipe: {**own, **{key: path for key, path in wired.items() if path}}}
    place = folder / "dvc.yaml"
    place.unlink(missing_ok=True)
    place.write_text(json.dumps(graph), encoding="utf-8")


def _require_made(path: str) -> None:
    if not Path(path).exists():
        parts = Path(path).parts
        way = f"; first: gristmill run {parts[1]}" if parts[0] == DATA.name and len(parts) > 2 else ""
        raise GristmillError(f"{path}: not found, and the recipe reads it{way}")


def _without_record(say: Say) -> Say:
    return lambda line: None if line.startswith(OWN_RECORD) else say(line)


def link(source: Path, place: Path, copy_files: bool = False) -> None:
    """A copy of a file or folder whose files are hard links, where the file system has them and unless `copy_files`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    copy = _copy_file if copy_files else _link_file
    if source.is_dir():
        shutil.copytree(source, place, copy_function=copy, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        copy(str(source), str(place))


def _link_file(source: str, place: str) -> None:
    try:
        os.link(os.path.realpath(source), place)
    except OSError:
        shutil.copy2(source, place)


def _copy_file(source: str, place: str) -> None:
    shutil.copy2(source, place)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
