"""How far a metric moves with the seed of the training alone: the record of `gristmill noise` in MLflow.

Each model of another seed is a finished run in the recipe's experiment, with the tags

    gristmill.noise       identity of the recipe's own training
    gristmill.seed        the seed that it was trained with
    gristmill.signature   signature of its scores

and is no candidate, see `tasks.register.beside`. The spread is the tag `gristmill.noise` of the experiment, JSON as in
`Spread`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Self

from tasks.register.beside import Beside, complete, create, scores_of
from tasks.stage.errors import GristmillError
from tasks.stage.task import FAMILIES
from tasks.tracking.client import IDENTITY, find_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

    from tasks.compare.verdict import Noise

NOISE, SEED, SIGNATURE = "gristmill.noise", "gristmill.seed", "gristmill.signature"


@dataclass(frozen=True)
class Trained:
    """A model of one seed: its task, its folders and its scores."""

    recipe: str
    task: str
    seed: int
    data: Path
    """`data/<recipe>` of its workspace, after the stage `train`."""
    scores: Path
    """The output folder of `tasks.evaluate.rescore`."""
    recipe_file: Path


@dataclass(frozen=True)
class Seed:
    """The scores of one seed, and its run."""

    seed: int
    metrics: dict[str, float]
    run_id: str


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a metric over seeds, everything else being equal."""

    metric: str
    mean: float
    deviation: float
    """Sample standard deviation (n - 1)."""
    seeds: int
    signature: str
    identity: str
    """Identity of the recipe's own training, whose seed is one of them."""
    time: str
    others: dict[str, dict[str, float]]
    """{metric: {mean, deviation}} for the task's other metrics."""

    @classmethod
    def of(cls, metric: str, seeds: list[Seed], identity: str, signature: str) -> Self:
        """The spread of at least two seeds."""
        found = {
            name: {"mean": fmean(values), "deviation": stdev(values)}
            for name in seeds[0].metrics
            if len(values := [seed.metrics[name] for seed in seeds if name in seed.metrics]) == len(seeds)
        }
        own, now = found.pop(metric), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(metric, own["mean"], own["deviation"], len(seeds), signature, identity, now, found)


def find_own_run(client: "MlflowClient", recipe: str, identity: str) -> "Run":
    """The run of the recipe's own model. Raises GristmillError if MLflow has none."""
    experiment = find_experiment(client, recipe)
    found = experiment and client.search_runs([experiment.experiment_id], f"tags.`{IDENTITY}` = '{identity}'")
    if not found:
        raise GristmillError(f"{recipe}: MLflow has no run of its model; first: gristmill run {recipe}")
    run: Run = found[0]
    return run


def known_seeds(client: "MlflowClient", recipe: str, task: str, identity: str, signature: str) -> dict[int, Seed]:
    """The seeds whose models are trained and scored as now, by seed; unfinished runs do not count."""
    found = {}
    for run in _runs(client, recipe, identity, signature):
        seed = run.data.tags.get(SEED, "")
        if run.info.status == "FINISHED" and seed.isdecimal():
            names = [name for name in FAMILIES[task].metrics if f"test_{name}" in run.data.metrics]
            metrics = {name: run.data.metrics[f"test_{name}"] for name in names}
            found[int(seed)] = Seed(int(seed), metrics, run.info.run_id)
    return found


def record_seed(client: "MlflowClient", trained: Trained, identity: str) -> Seed:
    """Record a model of another seed as a finished run; one that was recorded halfway is completed."""
    made = Beside(trained.recipe, trained.task, trained.data, trained.recipe_file, trained.scores)
    metrics = made.metrics()
    tags = {NOISE: identity, SEED: str(trained.seed), SIGNATURE: metrics["signature"]}
    halfway = [
        run for run in _runs(client, trained.recipe, identity, metrics["signature"])
        if run.data.tags.get(SEED) == str(trained.seed)
    ]  # fmt: skip
    name = f"{trained.recipe}-seed-{trained.seed}"
    run = halfway[0] if halfway else create(client, trained.recipe, name, tags, made.journal().started)
    complete(client, run, made, tags)
    return Seed(trained.seed, scores_of(trained.task, metrics), run.info.run_id)


def own_seed(run: "Run", task: str, seed: int, metrics: Mapping[str, Any]) -> Seed:
    """The recipe's own model as one of the seeds."""
    return Seed(seed, scores_of(task, metrics), run.info.run_id)


def keep_spread(client: "MlflowClient", recipe: str, spread: Spread) -> None:
    """Keep the spread with the recipe's experiment, in place of an earlier one."""
    client.set_experiment_tag(_experiment(client, recipe).experiment_id, NOISE, json.dumps(asdict(spread)))


def read_spread(client: "MlflowClient", recipe: str) -> Spread | None:
    """The spread that was measured last; None before the first `gristmill noise`. Raises GristmillError if damaged."""
    experiment = find_experiment(client, recipe)
    text = None if experiment is None else experiment.tags.get(NOISE)
    if text is None:
        return None
    try:
        spread = Spread(**json.loads(text))
        float(spread.deviation), int(spread.seeds), dict(spread.others)
    except (ValueError, TypeError) as error:
        raise GristmillError(
            f"MLflow: the tag {NOISE} of the experiment {recipe} is damaged; run `gristmill noise {recipe}` again, or "
            "delete the tag"
        ) from error
    return spread


def read_noise(client: "MlflowClient", recipe: str, metric: str) -> "Noise | None":
    """The spread of a metric over seeds, for the gate; None if it was not measured. Raises GristmillError."""
    from tasks.compare.verdict import Noise

    spread = read_spread(client, recipe)
    if spread is None:
        return None
    if metric == spread.metric:
        return Noise(spread.deviation, spread.seeds)
    other = spread.others.get(metric)
    return None if other is None else Noise(other["deviation"], spread.seeds)


def _experiment(client: "MlflowClient", recipe: str) -> "Experiment":
    found = find_experiment(client, recipe)
    if found is None:
        raise GristmillError(f"{recipe}: MLflow has no experiment of it; first: gristmill run {recipe}")
    return found


def _runs(client: "MlflowClient", recipe: str, identity: str, signature: str) -> list["Run"]:
    """Runs of other seeds, finished or not."""
    experiment = _experiment(client, recipe)
    found = client.search_runs([experiment.experiment_id], f"tags.`{NOISE}` = '{identity}'", max_results=1000)
    return [run for run in found if run.data.tags.get(SIGNATURE) == signature]
