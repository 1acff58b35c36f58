"""Models that are trained beside a recipe's own, in MLflow: of other seeds, of a sweep, of a try with other settings.

Each is a run in the recipe's experiment without `gristmill.identity`, the tag by which all else finds runs: such a
model is no candidate, is not registered, and neither the gate nor `gristmill runs` nor the idle check of a run sees it.
Its own tags say what it is, and its curves have the names of `tasks.tracking.record`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.register.scores import measured, rest
from tasks.register.sync_run import SIZE, read_history
from tasks.stage.scratch import scratch
from tasks.tracking.client import RECIPE, experiment_of, flatten, log_parameters, log_tags, logged_points
from tasks.tracking.record import Journal, read_journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

PARENT = "mlflow.parentRunId"
"""MLflow's tag that shows a run below another."""


@dataclass(frozen=True)
class Beside:
    """What stages left in a workspace."""

    recipe: str
    task: str
    data: Path
    """`data/<recipe>` of the workspace, after the stage `train`."""
    recipe_file: Path
    scores: Path | None = None
    """The folder with `metrics.json` and `scores.parquet`; None for a model that is not scored."""

    def training(self) -> dict[str, Any]:
        """What the stage train says about its model."""
        return dict(json.loads((self.data / "training/report.json").read_text(encoding="utf-8"))["details"])

    def journal(self) -> Journal:
        """The live record of its training."""
        return read_journal(self.data / "checkpoints" / str(self.training()["identity"]) / "record.jsonl")

    def metrics(self) -> dict[str, Any]:
        """Its evaluation; empty without."""
        if self.scores is None:
            return {}
        return dict(json.loads((self.scores / "metrics.json").read_text(encoding="utf-8")))


def create(
    client: "MlflowClient", recipe: str, name: str, tags: Mapping[str, str], started: float | None = None
) -> "Run":
    """A new run; `started` is in seconds since 1970."""
    start_time = None if started is None else round(started * 1000)
    experiment = experiment_of(client, recipe)
    return client.create_run(experiment, start_time=start_time, tags={RECIPE: recipe, **tags}, run_name=name)


def find(client: "MlflowClient", recipe: str, **tags: str) -> "list[Run]":
    """The runs of a recipe with these tags of ours: `sweep="a"` is the tag `gristmill.sweep`."""
    wanted = " AND ".join(f"tags.`gristmill.{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([experiment_of(client, recipe)], wanted, max_results=1000))


def complete(client: "MlflowClient", run: "Run", made: Beside, tags: Mapping[str, str]) -> None:
    """Add what the run lacks of a model, and finish it; one that was recorded halfway is completed."""
    training, journal, metrics = made.training(), made.journal(), made.metrics()
    run = client.get_run(run.info.run_id)
    log_tags(client, run, {key: value for key, value in journal.tags.items() if value} | dict(tags))
    size = {SIZE: str(training["parameters"])} if "parameters" in training else {}
    log_parameters(client, run, flatten(training["settings"]) | size)
    scores = _scores(made.task, metrics, int(training.get("steps") or 0)) if metrics else []
    curves = points(journal) or _rows(run, made)
    send(client, run, curves + scores)
    with scratch("beside") as folder:
        for name, path in _files(made).items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())  # MLflow copies the target
        client.log_artifacts(run.info.run_id, str(folder))
    last = max((when for _, when in journal.points.values()), default=time.time())
    client.set_terminated(run.info.run_id, "FINISHED", end_time=round(last * 1000))


def send(client: "MlflowClient", run: "Run", found: "list[Metric]") -> None:
    """Log the points that a run lacks; `run` as it is now."""
    there = logged_points(client, run)
    client.log_batch(run.info.run_id, metrics=[point for point in found if (point.key, point.step) not in there])


def points(journal: Journal) -> "list[Metric]":
    """The curves of a training."""
    from mlflow.entities import Metric

    return [Metric(key, value, round(when * 1000), step) for (key, step), (value, when) in journal.points.items()]


def _rows(run: "Run", made: Beside) -> "list[Metric]":
    """The curves of a model without a journal: DVC's cache had it, and its training ran elsewhere."""
    from mlflow.entities import Metric

    return [
        Metric(key, value, run.info.start_time, step)
        for step, row in read_history(made.data / "training/history.csv")
        for key, value in row.items()
    ]


def scores_of(task: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The task's metrics."""
    return {found.metric: found.value for found in measured(task, metrics)}


def _scores(task: str, metrics: Mapping[str, Any], last: int) -> "list[Metric]":
    """The scores of the test split, at the last step."""
    from mlflow.entities import Metric

    now = round(time.time() * 1000)
    named = {f"test_{name}": value for name, value in {**rest(task, metrics), **scores_of(task, metrics)}.items()}
    for found in measured(task, metrics):
        named |= zip((f"test_{found.metric}_low", f"test_{found.metric}_high"), found.interval or (), strict=False)
    return [Metric(name, float(value), now, last) for name, value in named.items()]


def _files(made: Beside) -> dict[str, Path]:
    """Name in the run → file."""
    scores = {} if made.scores is None else {name: made.scores / name for name in ("metrics.json", "scores.parquet")}
    return {
        **{f"evaluation/{name}": path for name, path in scores.items()},
        "training/history.csv": made.data / "training" / "history.csv",
        "reports/train.json": made.data / "training" / "report.json",
        f"recipes/{made.recipe}.yaml": made.recipe_file,
    }
