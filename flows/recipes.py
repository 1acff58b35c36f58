"""Recipes in the graph: the mapping `vars.recipes` of dvc.yaml, one key per recipe.

    shakespeare: *alone

reads no folder of the project; `vars.alone` holds the dependencies that its stages have anyway.

    mine: {<<: *alone, source: texts, init: data/bert/model, unseen: exams, template: recipes/mine.jinja}

DVC watches texts/ (`ingest.files`), the model of the recipe bert (`model.init`), and exams/, the evaluation sets that
are kept out of training (`clean.contamination.files`); and the chat template (`tokenize.chat_template`).

A recipe with a section `compress` has a line in `vars.compressed`, too, `mine: {}`, and so two more stages; one with a
section `export` in `vars.exported`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from flows.graph import LOCK
from flows.workspace import LOCKS
from tasks.formats.origin import FromFolder, FromRecipe
from tasks.stage.errors import RecipeError
from tasks.stage.problems import nearest
from tasks.stage.run import DATA
from tasks.stage.settings import NAME, read_section, read_yaml, recipe_path
from tasks.stage.task import read_task

if TYPE_CHECKING:
    from tasks.recipe import Recipe

GRAPH = Path("dvc.yaml")
RENEW = "then run `dvc repro code` and `dvc commit --force --with-deps evaluate@{name}`, and nothing trains again"
"""How a recipe that was up to date before the stage `code` keeps its models."""
RENAMING = LOCKS / "gristmill-mv"
"""`old new` while a recipe is renamed."""
LATER = {"template": "tokenize", "weights": "train"}
"""Keys that a dvc.yaml from before lacks, and the stage that depends on them."""
SOME = {"compress": "compressed", "export": "exported"}
"""Sections that a recipe may lack → the mapping of `vars` with the recipes that have it."""
LISTS = {
    name: re.compile(rf"^(?P<indent> *)- {name}:.*\n(?:(?P=indent) {{3,}}.*\n| *\n)*", re.MULTILINE)
    for name in ("recipes", *SOME.values())
}
"""The text of each mapping of `vars` that has a line per recipe."""


def check(name: str) -> "Recipe":
    """Load a recipe, check that dvc.yaml watches what it reads, and look at what is there.

    Raises RecipeError with one line per error, and DataError for texts that cannot be read as the recipe says.
    """
    from tasks.recipe import bench_of, load

    require_none_half_renamed()
    recipe = load(name)
    graph, bench = load_graph(), bench_of(name)
    wired = mapping(graph)
    recipe.ingest.root.locate(bench)
    texts, unseen = recipe.ingest.root.local_paths(), _unseen(recipe)
    wanted = wanted_entry(name, recipe, wired)
    line = f"write `{name}: {entry({key: path for key, path in wanted.items() if path is not None})}`"
    if "code" not in (graph.get("stages") or {}):
        raise RecipeError(
            f"{GRAPH}: the stage `code` is missing, and all others depend on it: copy `vars.alone` and `stages` from "
            f"the dvc.yaml of this version, {RENEW.format(name=name)}"
        )
    if name not in wired:
        raise RecipeError(f"{GRAPH}: vars.recipes.{name}: missing; {line}")
    for key in wired[name] if isinstance(wired[name], dict) else ():
        if key not in wanted:
            raise RecipeError(f"{GRAPH}: vars.recipes.{name}.{key}: unknown key{nearest(key, wanted)}; {line}")
    _require_outputs(graph, name)
    _require_listed(graph, name)
    _require_weights(name, wired[name], wanted["weights"], line)
    for key, stage in LATER.items():
        if wanted[key] and f"${{item.{key}}}" not in str(graph["stages"].get(stage)):
            raise RecipeError(
                f"{GRAPH}: stages.{stage}: DVC does not watch ${{item.{key}}}; copy `vars.alone` and `stages` from the "
                "dvc.yaml of this version"
            )
    read = {"source": texts, "unseen": unseen}
    read |= {key: [file] if (file := wanted[key]) else [] for key in ("init", "template")}
    for key, paths in read.items():
        if key in LATER and not paths and key not in (wired[name] or {}):
            continue
        watched = _watched(name, wired[name], key, line)
        where = f"{GRAPH}: vars.recipes.{name}.{key}: DVC watches {watched}, but"
        for path in map(PurePosixPath, paths):
            if not path.is_relative_to(watched):
                raise RecipeError(f"{where} the recipe reads {path}; {line}")
            inner = (part for part in (path, *path.parents) if watched in part.parents)
            if link := next((part for part in inner if Path(part).is_symlink() and Path(part).is_dir()), None):
                raise RecipeError(f"{where} not the folder that the link {link} leads to; read that folder by itself")
    later = any(path.startswith(f"{DATA}/") and not Path(path).exists() for path in texts)  # a stage writes it
    if texts and not later:
        recipe.ingest.root.look(bench, recipe.expectations.max_problem_share)
    return recipe


def _has_weights(recipe: "Recipe") -> bool:
    """Whether training reads weights or epochs of sources."""
    sources = getattr(recipe.ingest.root, "sources", ())
    return any(source.weight is not None or source.epochs is not None for source in sources)


def _require_weights(name: str, item: Any, wanted: str | None, line: str) -> None:
    """Raises RecipeError if DVC would not train again after a weight of a source changes."""
    if wanted and (not isinstance(item, dict) or item.get("weights") != wanted):
        told = "training reads the weights of the sources, and DVC must watch them"
        raise RecipeError(f"{GRAPH}: vars.recipes.{name}.weights: {told}; {line}")


def _require_listed(graph: dict[str, Any], name: str) -> None:
    """Raises RecipeError unless the recipe has the stages of a section exactly if it has the section."""
    content = read_yaml(recipe_path(name))
    for section, key in SOME.items():
        has, listed = bool(content.get(section)), name in (variable(graph, key) or {})
        if has and section not in graph["stages"]:
            raise RecipeError(
                f"{GRAPH}: the stage `{section}` is missing; copy `stages` from the dvc.yaml of this version"
            )
        if has and not listed:
            raise RecipeError(f"{GRAPH}: vars.{key}: the recipe has a section {section}; write `{name}: {{}}` there")
        if listed and not has:
            told = f"{recipe_path(name)} has no section {section}; remove this line, or write the section"
            raise RecipeError(f"{GRAPH}: vars.{key}.{name}: {told}")


def wanted_entry(name: str, recipe: "Recipe", wired: dict[str, Any]) -> dict[str, str | None]:
    """What DVC must watch for a recipe, by the key in dvc.yaml; None for what it does not read. Raises RecipeError."""
    texts, place = recipe.ingest.root.local_paths(), recipe_path(name)
    if "." in texts:
        raise RecipeError(f"{place}: ingest.files: DVC cannot watch the project root; move the texts into a folder")
    return {
        "source": _one_folder(texts, f"{place}: ingest.{'sources' if recipe.has_sources else 'files'}", "texts"),
        "init": _init(name, recipe, wired),
        "unseen": _one_folder(_unseen(recipe), f"{place}: clean.contamination.files", "evaluation sets"),
        "template": recipe.tokenize.template_file,
        "weights": "ingest.sources" if _has_weights(recipe) else None,
    }


def _unseen(recipe: "Recipe") -> list[str]:
    """The evaluation sets that a recipe keeps out of training."""
    sets = recipe.clean.contamination
    return [PurePosixPath(path).as_posix() for path in sets.files] if sets else []


def _require_outputs(graph: dict[str, Any], name: str) -> None:
    """Raises RecipeError for outputs that DVC cannot make; DVC itself says so after the work."""
    here = Path().resolve()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    for stage, spec in graph["stages"].items():
        own = spec.get("do", spec)
        entries = [entry for kind in ("outs", "metrics", "plots") for entry in own.get(kind) or []]
        outs = [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]
        for out in (Path(path.replace("${key}", name)) for path in outs):
            if not (place := out.parent.resolve()).is_relative_to(root):
                raise RecipeError(
                    f"{out.parent}: a link to {place}, outside the git repository, where DVC keeps no outputs; replace "
                    "it with a folder and move DVC's cache to the other disk (docs/servers.md, A bigger disk)"
                )
            if own.get("frozen") and not out.exists() and f"{stage}@{name}" not in locked_stages():
                raise RecipeError(
                    f"{GRAPH}: stages.{stage}: frozen, so DVC does not run it, but {out} was never made; unfreeze it"
                )


def locked_stages() -> dict[str, Any]:
    """The stages that have run, by address."""
    return dict(read_yaml(LOCK).get("stages") or {}) if LOCK.is_file() else {}


def entry(own: dict[str, Any]) -> str:
    """The value of a recipe's key in dvc.yaml."""
    if not own:
        return "*alone"
    return f"{{<<: *alone, {', '.join(f'{key}: {json.dumps(path).strip(chr(34))}' for key, path in own.items())}}}"


def listed_recipes() -> dict[str, Any]:
    """The mapping `vars.recipes` of dvc.yaml. Raises RecipeError if it is missing or has an invalid name."""
    return mapping(load_graph())


def require_none_half_renamed() -> None:
    """Raises RecipeError if `gristmill mv` was interrupted."""
    if names := half_renamed():
        raise RecipeError(f"`gristmill mv {' '.join(names)}` was interrupted; run it again, and it goes on")


def half_renamed() -> tuple[str, ...]:
    """The old and the new name of a recipe whose renaming was interrupted."""
    return tuple(RENAMING.read_text(encoding="utf-8").split()) if RENAMING.is_file() else ()


def load_graph() -> dict[str, Any]:
    """dvc.yaml as it is written. Raises RecipeError if it is missing or no YAML."""
    if not GRAPH.is_file():
        raise RecipeError(f"{GRAPH}: not found; run gristmill in the project's folder")
    graph = read_yaml(GRAPH)
    for key, kind, told in (("vars", list, "a list"), ("stages", dict, "a mapping")):
        if not isinstance(graph.get(key) or kind(), kind):
            raise RecipeError(f"{GRAPH}: {key}: expected {told}")
    if not all(isinstance(stage, dict) for stage in (graph.get("stages") or {}).values()):
        raise RecipeError(f"{GRAPH}: stages: expected a mapping for each stage")
    return graph


def mapping(graph: dict[str, Any]) -> dict[str, Any]:
    """`vars.recipes`. Raises RecipeError if it is missing or has an invalid name."""
    found = variable(graph, "recipes")
    if found is None:
        raise RecipeError(f"{GRAPH}: vars: the mapping `recipes` is missing")
    for name in found:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise RecipeError(f"{GRAPH}: vars.recipes: {name!r} is not a recipe name")
    return found


def variable(graph: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A mapping of `vars`; None if there is no such mapping."""
    items = (item for item in graph.get("vars") or [] if isinstance(item, dict))
    return next((dict(item[name]) for item in items if isinstance(item.get(name), dict)), None)


def _watched(name: str, item: Any, key: str, line: str) -> PurePosixPath:
    """The folder or file that DVC watches for a recipe. Raises RecipeError if it is missing or unusable."""
    path = item.get(key) if isinstance(item, dict) else None
    place = f"{GRAPH}: vars.recipes.{name}"
    if not isinstance(path, str) or not path:
        raise RecipeError(f"{place}: {key} is missing; {line}")
    if PurePosixPath(path).parts[:1] == ("tasks",):
        renew = RENEW.format(name=name)
        raise RecipeError(f"{place}.{key}: {path} is from a version before the stage `code`; {line}, {renew}")
    if PurePosixPath(path) == PurePosixPath() or not (Path(path).exists() or path.startswith(f"{DATA}/")):
        raise RecipeError(f"{place}.{key}: {path} is not a file or folder of the project")
    return PurePosixPath(path)


def _one_folder(paths: Sequence[str], key: str, what: str) -> str | None:
    """The one folder that DVC must watch for all of these paths."""
    found = [PurePosixPath(path) for path in paths]
    if not found:
        return None
    shared = [folder for folder in (found[0], *found[0].parents) if all(folder in (p, *p.parents) for p in found)]
    if not shared or shared[0] == PurePosixPath():
        raise RecipeError(f"{key}: DVC can watch only one folder; put all {what} under one folder of the project")
    return shared[0].as_posix()


def _init(name: str, recipe: "Recipe", wired: dict[str, Any]) -> str | None:
    """The path that DVC must watch for the model that a recipe starts from.

    Raises RecipeError if recipes start from one another in a circle, or the base does not fit the task.
    """
    if isinstance(recipe.model.init, FromFolder):
        return recipe.model.init.path
    if not isinstance(recipe.model.init, FromRecipe):
        return None
    from tasks.recipe import base_problem
    from tasks.train.settings import ModelSettings

    line, model = [name], recipe.model
    while isinstance(origin := model.init, FromRecipe):
        where = f"{recipe_path(line[-1])}: model.init"
        if origin.name not in wired:
            raise RecipeError(
                f"{where}: no recipe {origin.name!r} (available: {', '.join(wired)}){nearest(origin.name, wired)}"
            )
        if origin.name in line:
            circle = [*line[line.index(origin.name) :], origin.name]
            raise RecipeError(f"{recipe_path(origin.name)}: model.init: starts from itself ({' -> '.join(circle)})")
        line.append(origin.name)
        model = read_section(origin.name, "model", ModelSettings)
    if model.architecture and (problem := base_problem(recipe.task, read_task(line[-1]), model.architecture)):
        raise RecipeError(f"{recipe_path(name)}: model.init: {line[-1]} does not fit {recipe.task}: {problem}")
    return f"{DATA}/{line[1]}/model"
