"""The record of `gristmill sweep` in MLflow: a run for the sweep, and below it one for each trial.

    gristmill.sweep       tag of the sweep's run: its name
    gristmill.trial_of    tag of a trial: the name of its sweep
    gristmill.trial       tag of a trial: its number, from 0

None of them is a candidate, see `tasks.register.beside`. A trial's run shows its curves while it trains; it ends
FINISHED, KILLED if it was pruned, or FAILED with the sentence in the tag `gristmill.told`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.register.beside import PARENT, Beside, complete, create, find, points
from tasks.stage.redact import redact
from tasks.tracking.client import LONGEST_VALUE, connect, flatten, log_parameters, logged_points, lost_is_transient
from tasks.tracking.record import Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class TrialRun:
    """The run of a trial. Its methods raise TransientError if MLflow is away."""

    def __init__(self, client: "MlflowClient", recipe: str, sweep: "Run", name: str, number: int, title: str) -> None:
        tags = {"gristmill.trial_of": name, "gristmill.trial": str(number)}
        self._client = client
        with lost_is_transient():
            known = find(client, recipe, trial_of=name, trial=str(number))
            self._run = known[0] if known else create(client, recipe, title, tags | {PARENT: sweep.info.run_id})
            if known:
                client.update_run(self.run_id, "RUNNING")
            self._sent = logged_points(client, self._run)

    @property
    def run_id(self) -> str:
        """Its id in MLflow."""
        return str(self._run.info.run_id)

    def show(self, journal: Journal) -> None:
        """Send new points of the curves."""
        new = [point for point in points(journal) if (point.key, point.step) not in self._sent]
        if new:
            with lost_is_transient():
                self._client.log_batch(self.run_id, metrics=new)
            self._sent |= {(point.key, point.step) for point in new}

    def finish(self, made: Beside) -> None:
        """Complete the run of a training that went to its end."""
        with lost_is_transient():
            complete(self._client, self._run, made, {})

    def repeat(self, run_id: str | None, loss: float | None, step: int, values: Mapping[str, Any]) -> None:
        """Finish the run of a trial whose settings another trial had: it is not trained again."""
        with lost_is_transient():
            if loss is not None:
                self._client.log_metric(self.run_id, "validation_loss", loss, step=step)
            self._client.set_tag(self.run_id, "gristmill.same_as", str(run_id))
        self.end("FINISHED", values)

    def end(self, status: str, values: Mapping[str, Any], told: str = "") -> None:
        """End the run of a training that did not go to its end: FAILED, or KILLED if it was pruned."""
        with lost_is_transient():
            log_parameters(self._client, self._client.get_run(self.run_id), flatten(values))
            if told:
                self._client.set_tag(self.run_id, "gristmill.told", redact(told)[:5000])
            self._client.set_terminated(self.run_id, status)


def open_sweep(recipe: str, name: str, asked: Mapping[str, Any]) -> "tuple[MlflowClient, Run]":
    """The run of a sweep, which goes on or is new. Raises TransientError if MLflow is away."""
    client = connect()
    with lost_is_transient():
        known = find(client, recipe, sweep=name)
        run = known[0] if known else create(client, recipe, name, {"gristmill.sweep": name})
        if known:
            client.update_run(run.info.run_id, "RUNNING")
        log_parameters(client, run, {key: value[:LONGEST_VALUE] for key, value in flatten(asked).items()})
    return client, run


def close_sweep(
    client: "MlflowClient", run: "Run", status: str, best: Mapping[str, Any], losses: Mapping[str, float],
    files: Sequence[Path],
) -> None:  # fmt: skip
    """Keep what came of a sweep: the best trial's settings, figures, the table and picture."""
    with lost_is_transient():
        for key, value in losses.items():
            client.log_metric(run.info.run_id, key, value)
        if best:
            client.set_tag(run.info.run_id, "gristmill.best", json.dumps(best))
        for file in files:
            client.log_artifact(run.info.run_id, str(file), "sweep")
        client.set_terminated(run.info.run_id, status)
