"""`gristmill noise`: train a recipe again with other seeds and measure how far its metrics move.

A sweep over `train.seed` that scores its models. Everything else is that of the recipe's own model, which counts
as one of the seeds, so DVC must find the whole recipe up to date. Each seed has a scratch workspace
(`flows.scratch_run`), where the stage `train` runs as it does in the project, and `tasks.evaluate.rescore` scores its
model on the recipe's test split. data/<recipe>, dvc.lock, the registry and the champion stay as they are; a run of the
recipe may start meanwhile, and does not change what is measured.

A seed whose model is in MLflow is not trained again; one that was interrupted goes on from its last checkpoint.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.progress import working
from flows.scratch_run import TRAINS_ON, Snapshot, Workspace, remove, snapshot
from flows.workspace import claim
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tasks.stage.settings import read_section, recipe_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tasks.register.noise import Seed, Spread

PLACE = Path(".dvc/tmp/gristmill-noise")
INPUTS = (*TRAINS_ON, "clean/test")
"""What training and scoring read under data/<recipe>/."""
LARGEST_SEED = 2**32 - 1

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
    """The recipe's own model, and a snapshot of its inputs."""

    recipe: str
    task: str
    metric: str
    seed: int
    training: dict[str, Any] = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)
    made_from: Snapshot = field(repr=False)

    @property
    def identity(self) -> str:
        """Of its training."""
        return str(self.training["identity"])

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
        shutil.rmtree(PLACE / recipe)
    return Noise(found, spread, len(new))


def _prepare(recipe: str, seeds: int, say: Say) -> _Own:
    """Keep what the trainings read; workspaces of another model of the recipe are removed.

    Raises GristmillError if DVC finds a stage of the recipe changed.
    """
    made_from = snapshot(recipe, PLACE / recipe / "own", f"gristmill noise {recipe}", say)
    if stale := [node.address for node in made_from.nodes if node.address in made_from.stale]:
        raise GristmillError(
            f"{recipe}: {', '.join(stale)} changed since its model was made; first: gristmill run {recipe}"
        )
    loaded, seed = made_from.recipe, made_from.recipe.train.seed
    if seed + seeds - 1 > LARGEST_SEED:
        raise RecipeError(f"{recipe_path(recipe)}: train.seed: {seed} leaves no room for {seeds - 1} seeds after it")
    metrics = json.loads((made_from.workspace.data / "evaluation/metrics.json").read_text(encoding="utf-8"))
    metric = read_section(recipe, "register", RegisterSettings).metric_of(loaded.task)
    own = _Own(recipe, loaded.task, metric, seed, made_from.workspace.training(), metrics, made_from)
    for other in (PLACE / recipe).iterdir():
        if other.name not in ("own", own.identity[:16]):
            remove(other)
    return own


def _measure(client: "MlflowClient", own: _Own, seed: int, new: list[int], say: Say) -> "Seed":
    """Train, score and record one seed; its workspace goes once it is recorded."""
    from tasks.register.noise import Trained, record_seed
    from tasks.tracking.client import lost_is_transient

    settings = own.made_from.content
    source = own.made_from.workspace
    project = Workspace(
        own.recipe, (PLACE / own.recipe / own.identity[:16] / f"seed-{seed}").absolute(), source.goes_on
    )
    whole, place = project.is_trained(), f"seed {new.index(seed) + 1} of {len(new)}"
    project.fill(source.folder, INPUTS, {**settings, "train": {**(settings.get("train") or {}), "seed": seed}})
    if not whole:
        _run(project, f"train@{own.recipe}, seed {seed}", place, "tasks.train", [own.recipe], say)
    _require_alike(own, seed, project)
    scores = [own.recipe, str(project.data.relative_to(project.folder) / "model"), "scores"]
    _run(project, f"evaluate@{own.recipe}, seed {seed}", place, "tasks.evaluate.rescore", scores, say)
    trained = Trained(own.recipe, own.task, seed, project.data, project.folder / "scores", project.recipe_file)
    try:
        with lost_is_transient():
            measured = record_seed(client, trained, own.identity)
    except TransientError as error:
        again = (
            f"the model of seed {seed} is kept: run `gristmill noise {own.recipe}` again, and it is not trained again"
        )
        raise TransientError(f"{error}; {again}") from error
    shutil.rmtree(project.folder)
    say(f"seed {seed}: {own.metric} {measured.metrics[own.metric]:.6g}")
    return measured


def _require_alike(own: _Own, seed: int, project: Workspace) -> None:
    """Raises GristmillError if a model was trained in another precision than the recipe's own, from another machine."""
    precision, before = project.training().get("precision"), own.training.get("precision")
    if precision != before:
        raise GristmillError(
            f"{own.recipe}: seed {seed} trains in {precision} here, but the recipe's own model was trained in "
            f"{before} elsewhere; set train.precision, and train it here: gristmill run {own.recipe}"
        )


def _run(project: Workspace, address: str, place: str, module: str, arguments: list[str], say: Say) -> None:
    with working(f"{place}: {address}", say) as hear:
        project.run(address, module, arguments, hear)
