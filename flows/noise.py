"""`gristmill noise`: train a recipe again with other seeds and measure how far its metrics move.

Everything but `train.seed` is that of the recipe's own model, which counts as one of the seeds: base, tokenizer and
tokens are linked, not made again, so DVC must find the whole recipe up to date. Each seed has a workspace of its own
below `PLACE`, where the stage `train` runs as it does in the project, and `tasks.evaluate.rescore` scores its model on
the recipe's test split. data/<recipe>, dvc.lock, the registry and the champion stay as they are; a run of the recipe
may start meanwhile, and does not change what is measured.

A seed whose model is in MLflow is not trained again; one that was interrupted goes on from its last checkpoint.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.graph import changes, read_graph
from flows.progress import working
from flows.recipes import check
from flows.runner import crash, run_watched
from flows.stop import Stopped, stopped_at
from flows.workspace import claim
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tasks.stage.run import DATA
from tasks.stage.settings import read_section, read_yaml, recipe_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tasks.register.noise import Seed, Spread

PLACE = Path(".dvc/tmp/gristmill-noise")
INPUTS = ("base", "tokenizer", "tokens", "clean/test")
"""What training and scoring read under data/<recipe>/."""
TRAINED = ("model", "training/report.json", "training/history.csv")
LARGEST_SEED = 2**32 - 1
SOURCE = Path(__file__).resolve().parents[1]
"""The folder of this code, from which programs in a workspace import it."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Noise:
    """What was measured."""

    seeds: "list[Seed]"
    """The recipe's own seed first."""
    spread: "Spread"
    trained: int
    """How many of them were trained now."""


@dataclass(frozen=True)
class _Own:
    """The recipe's own model, and a workspace with what it was made from."""

    recipe: str
    task: str
    metric: str
    seed: int
    identity: str
    """Of its training."""
    precision: str | None
    metrics: dict[str, Any]
    folder: Path
    settings: dict[str, Any] = field(repr=False)

    @property
    def signature(self) -> str:
        """Of its scores."""
        return str(self.metrics["signature"])


def measure_noise(recipe: str, seeds: int, say: Say) -> Noise:
    """Train and score until `seeds` seeds are known (from 2 on), and keep their spread in MLflow.

    Raises GristmillError if the recipe is not up to date, a stage fails, or another process measures the same recipe;
    TransientError if MLflow is away: what is trained is kept. Stopped if a signal ends it.
    """
    from tasks.register.noise import Spread, find_own_run, keep_spread, known_seeds, own_seed
    from tasks.tracking.client import connect, lost_is_transient

    if seeds < 2:
        raise GristmillError(f"--seeds: a spread needs at least 2 seeds, not {seeds}")
    with claim(f"noise@{recipe}", [], say):
        client = connect()
        own = _prepare(recipe, seeds, say)
        with lost_is_transient():
            found = [own_seed(find_own_run(client, recipe, own.identity), own.task, own.seed, own.metrics)]
            known = known_seeds(client, recipe, own.task, own.identity, own.signature)
        wanted = range(own.seed + 1, own.seed + seeds)
        new = [seed for seed in wanted if seed not in known]
        for seed in wanted:
            if seed in known:
                say(f"seed {seed}: known from run {known[seed].run_id}")
            found.append(known.get(seed) or _measure(client, own, seed, new, say))
        spread = Spread.of(own.metric, found, own.identity, own.signature)
        with lost_is_transient():
            keep_spread(client, recipe, spread)
        shutil.rmtree(own.folder.parent)
    return Noise(found, spread, len(new))


def _prepare(recipe: str, seeds: int, say: Say) -> _Own:
    """Link what the trainings read; workspaces of another model of the recipe are removed.

    Raises GristmillError if DVC finds a stage of the recipe changed.
    """
    loaded = check(recipe)
    seed = loaded.train.seed
    if seed + seeds - 1 > LARGEST_SEED:
        raise RecipeError(f"{recipe_path(recipe)}: train.seed: {seed} leaves no room for {seeds - 1} seeds after it")
    nodes = read_graph(recipe)
    data = DATA / recipe
    with claim(recipe, [node.recipe for node in nodes if node.recipe], say):
        if stale := list(changes([node.address for node in nodes])):
            raise GristmillError(
                f"{recipe}: {', '.join(stale)} changed since its model was made; first: gristmill run {recipe}"
            )
        training = _training(data)
        folder = PLACE / recipe / training["identity"][:16]
        for other in (PLACE / recipe).glob("*"):
            if other != folder:
                shutil.rmtree(other)
        _remove(folder / "inputs")
        for name in INPUTS:
            _link(data / name, folder / "inputs" / "data" / recipe / name)
        _link(DATA / "code", folder / "inputs" / DATA / "code")
        return _Own(
            recipe=recipe,
            task=loaded.task,
            metric=read_section(recipe, "register", RegisterSettings).metric_of(loaded.task),
            seed=seed,
            identity=training["identity"],
            precision=training.get("precision"),
            metrics=json.loads((data / "evaluation/metrics.json").read_text(encoding="utf-8")),
            folder=folder,
            settings=read_yaml(recipe_path(recipe)),
        )


def _measure(client: "MlflowClient", own: _Own, seed: int, new: list[int], say: Say) -> "Seed":
    """Train, score and record one seed; its workspace goes once it is recorded."""
    from tasks.register.noise import Trained, record_seed
    from tasks.tracking.client import lost_is_transient

    place = f"seed {new.index(seed) + 1} of {len(new)}"
    project = own.folder / f"seed-{seed}"
    data, recipe_file = project / DATA / own.recipe, project / recipe_path(own.recipe)
    whole = all((data / name).exists() for name in TRAINED)
    _fill(own, project, recipe_file, seed)
    if not whole:
        _run(own, seed, place, "train", "tasks.train", [own.recipe], project, say)
    _require_alike(own, seed, data)
    scores = [own.recipe, str(data.relative_to(project) / "model"), "scores"]
    _run(own, seed, place, "evaluate", "tasks.evaluate.rescore", scores, project, say)
    trained = Trained(own.recipe, own.task, seed, data, project / "scores", recipe_file)
    try:
        with lost_is_transient():
            measured = record_seed(client, trained, own.identity)
    except TransientError as error:
        again = (
            f"the model of seed {seed} is kept: run `gristmill noise {own.recipe}` again, and it is not trained again"
        )
        raise TransientError(f"{error}; {again}") from error
    shutil.rmtree(project)
    say(f"seed {seed}: {own.metric} {measured.metrics[own.metric]:.6g}")
    return measured


def _require_alike(own: _Own, seed: int, data: Path) -> None:
    """Raises GristmillError if a model was trained in another precision than the recipe's own, from another machine."""
    precision = _training(data).get("precision")
    if precision != own.precision:
        raise GristmillError(
            f"{own.recipe}: seed {seed} trains in {precision} here, but the recipe's own model was trained in "
            f"{own.precision} elsewhere; set train.precision, and train it here: gristmill run {own.recipe}"
        )


def _training(data: Path) -> dict[str, Any]:
    """What the stage `train` says about its model."""
    return dict(json.loads((data / "training/report.json").read_text(encoding="utf-8"))["details"])


def _fill(own: _Own, project: Path, recipe_file: Path, seed: int) -> None:
    """Give a seed's workspace the inputs and the recipe as they are now; what a training has left there stays."""
    inputs = own.folder / "inputs"
    for name in (*(DATA / own.recipe / name for name in INPUTS), DATA / "code"):
        _remove(project / name)
        _link(inputs / name, project / name)
    settings = {**own.settings, "train": {**(own.settings.get("train") or {}), "seed": seed}}
    recipe_file.parent.mkdir(exist_ok=True)
    recipe_file.write_text(json.dumps(settings, indent=2), encoding="utf-8")  # JSON is YAML


def _run(
    own: _Own, seed: int, place: str, stage: str, module: str, arguments: list[str], project: Path, say: Say
) -> None:
    """Run a program in a seed's workspace. Raises StageFailed and Stopped."""
    address = f"{stage}@{own.recipe}, seed {seed}"
    paths = filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])
    more = {
        "PYTHONPATH": os.pathsep.join(paths),
        "MLFLOW_TRACKING_URI": f"sqlite:///{(own.folder / 'live.db').absolute()}",  # the true record is made after it
    }
    with _our_command(own.recipe), working(f"{place}: {address}", say) as hear:
        code, lines = run_watched(stage, address, module, arguments, hear, folder=project, more=more)
    if code != 0:
        raise crash(address, code, lines)


@contextmanager
def _our_command(recipe: str) -> Iterator[None]:
    """A training that is stopped names the command that goes on with it, which is this one."""
    try:
        yield
    except Stopped as stop:
        ours = f"`gristmill noise {recipe}`"
        sentence = str(stop).replace(f"`gristmill run {recipe}`", ours).replace("the next run", f"the next {ours}")
        raise stopped_at(stop.number, sentence) from None


def _link(source: Path, place: Path) -> None:
    """A copy of a folder whose files are hard links, where the file system has them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, place, copy_function=_link_file)


def _link_file(source: str, place: str) -> None:
    try:
        os.link(os.path.realpath(source), place)
    except OSError:
        shutil.copy2(source, place)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
