"""How far a metric moves with the seed of the training alone: the record of `gristmill noise` in MLflow.

Each model of another seed is a finished run in the recipe's experiment, with the tags

    gristmill.noise       identity of the recipe's own training
    gristmill.seed        the seed that it was trained with
    gristmill.signature   signature of its scores

and without `gristmill.identity`, by which all else finds runs: such a model is no candidate, is not registered, and
neither `gristmill runs` nor the idle check of `gristmill run` sees it. The spread is the tag `gristmill.noise` of the
experiment, JSON as in `Spread`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Self

from tasks.register.scores import measured, rest
from tasks.register.sync_run import SIZE
from tasks.stage.errors import GristmillError
from tasks.stage.scratch import scratch
from tasks.stage.task import FAMILIES
from tasks.tracking.client import IDENTITY, RECIPE, find_experiment, flatten, log_parameters, log_tags, logged_points
from tasks.tracking.record import read_journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

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
    metrics = json.loads((trained.scores / "metrics.json").read_text(encoding="utf-8"))
    training = json.loads((trained.data / "training" / "report.json").read_text(encoding="utf-8"))["details"]
    journal = read_journal(trained.data / "checkpoints" / training["identity"] / "record.jsonl")
    tags = {NOISE: identity, SEED: str(trained.seed), SIGNATURE: metrics["signature"], RECIPE: trained.recipe}
    halfway = [
        run for run in _runs(client, trained.recipe, identity, metrics["signature"])
        if run.data.tags.get(SEED) == str(trained.seed)
    ]  # fmt: skip
    run = halfway[0] if halfway else _create(client, trained, tags, journal.started)
    log_tags(client, run, {key: value for key, value in journal.tags.items() if value} | tags)
    size = {SIZE: str(training["parameters"])} if "parameters" in training else {}
    log_parameters(client, run, flatten(training["settings"]) | size)
    points = _points(trained.task, journal.points, metrics, int(training.get("steps") or 0))
    there = logged_points(client, run)
    client.log_batch(run.info.run_id, metrics=[point for point in points if (point.key, point.step) not in there])
    with scratch("noise") as folder:
        for name, path in _files(trained).items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())  # MLflow copies the target
        client.log_artifacts(run.info.run_id, str(folder))
    last = max((when for _, when in journal.points.values()), default=time.time())
    client.set_terminated(run.info.run_id, "FINISHED", end_time=round(last * 1000))
    return Seed(trained.seed, _scores(trained.task, metrics), run.info.run_id)


def own_seed(run: "Run", task: str, seed: int, metrics: Mapping[str, Any]) -> Seed:
    """The recipe's own model as one of the seeds."""
    return Seed(seed, _scores(task, metrics), run.info.run_id)


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


def _create(client: "MlflowClient", trained: Trained, tags: dict[str, str], started: float | None) -> "Run":
    return client.create_run(
        _experiment(client, trained.recipe).experiment_id,
        start_time=None if started is None else round(started * 1000),
        tags=tags,
        run_name=f"{trained.recipe}-seed-{trained.seed}",
    )


def _points(
    task: str, curves: Mapping[tuple[str, int], tuple[float, float]], metrics: Mapping[str, Any], last: int
) -> list["Metric"]:
    """The curves, and the scores of the test split at the last step."""
    from mlflow.entities import Metric

    now = round(time.time() * 1000)
    named = {f"test_{name}": value for name, value in {**rest(task, metrics), **_scores(task, metrics)}.items()}
    for found in measured(task, metrics):
        named |= zip((f"test_{found.metric}_low", f"test_{found.metric}_high"), found.interval or (), strict=False)
    scores = [Metric(name, float(value), now, last) for name, value in named.items()]
    return [Metric(key, value, round(when * 1000), step) for (key, step), (value, when) in curves.items()] + scores


def _scores(task: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    return {found.metric: found.value for found in measured(task, metrics)}


def _files(trained: Trained) -> dict[str, Path]:
    """Name in the run → file."""
    return {
        "evaluation/metrics.json": trained.scores / "metrics.json",
        "evaluation/scores.parquet": trained.scores / "scores.parquet",
        "training/history.csv": trained.data / "training" / "history.csv",
        "reports/train.json": trained.data / "training" / "report.json",
        f"recipes/{trained.recipe}.yaml": trained.recipe_file,
    }
