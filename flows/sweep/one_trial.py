"""One trial of a sweep: its inputs, its training in a scratch workspace, its run in MLflow.

The number of threads is that of any run (GRISTMILL_WORKERS, or all cores), also when several trials run at once: it
decides in which order numbers are summed, and the best trial's settings must give the same loss as a recipe.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.overrides import changed, stages_of
from flows.progress import working
from flows.runner import StageFailed
from flows.scratch_run import TRAINS_ON, Say, Snapshot, Workspace
from flows.sweep.study import Found
from flows.sweep.trials import State, Trial, title
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError, TransientError
from tasks.stage.identity import fingerprint
from tasks.stage.machine import DISK

if TYPE_CHECKING:
    import optuna
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tasks.register.sweep import TrialRun
    from tasks.tracking.record import Journal

AFTER_INPUTS = {"train", "evaluate", "compress", "measure", "export"}
"""Stages that no training reads from."""
LOOK_SECONDS = 1.0
"""Between two looks at a training's curves."""


class Pruned(Exception):
    """The trial is worse than most were at this step."""


class Halted(Exception):
    """The sweep ends, because another trial cannot go on."""


@dataclass(frozen=True)
class Bench:
    """What the trials of a sweep share."""

    name: str
    folder: Path
    recipe: str
    task: str
    own: Snapshot
    fixed: dict[str, Any]
    """Settings that all trials have."""
    client: "MlflowClient" = field(repr=False)
    run: "Run" = field(repr=False)
    """Of the sweep in MLflow."""
    alone: bool
    """Whether one trial runs at a time."""
    halt: threading.Event = field(default_factory=threading.Event, repr=False)
    made: set[Path] = field(default_factory=set, repr=False)
    """Workspaces with the inputs of trainings."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def workspace(self, number: int) -> Workspace:
        """Where a trial trains."""
        return Workspace(self.recipe, self.folder / f"trial-{number + 1}", self.own.workspace.goes_on)

    def inputs(self, values: Mapping[str, Any], say: Say) -> Path:
        """A workspace with what a training with these settings reads; shared by all that differ only later."""
        early = {key: value for key, value in values.items() if set(stages_of(self.recipe, key)) - AFTER_INPUTS}
        folder = self.folder / f"inputs-{fingerprint(early)[:16]}"
        with self.lock:
            if folder not in self.made:
                self.own.branch(folder, values, ("base", "tokenize"), say)
                self.made.add(folder)
        return folder


def run_trial(
    bench: Bench, trial: "optuna.Trial", values: Mapping[str, Any], same: Trial | None, flow_run: str, say: Say
) -> tuple[Found, str]:
    """Train and record; returns how it ended, and its run in MLflow.

    Raises Stopped and Halted, TransientError if a server is away, and GristmillError if the disk is full: then the
    trial is not over, and is taken up again by the next start of the sweep.
    """
    from tasks.register.beside import Beside
    from tasks.register.sweep import TrialRun

    began = time.monotonic()
    record = TrialRun(bench.client, bench.recipe, bench.run, bench.name, trial.number + 1, title(values))

    def found(state: State, loss: float | None = None, step: int = 0, told: str = "") -> tuple[Found, str]:
        return Found(state, loss, step, round(time.monotonic() - began, 1), told), record.run_id

    if same is not None:
        for step, loss in trial.study.trials[same.number].intermediate_values.items():
            trial.report(loss, step)
        record.repeat(same.run_id, same.loss, same.step, values)
        return found("complete", same.loss, same.step, f"the settings of trial {same.number + 1}")
    workspace = bench.workspace(trial.number)
    curve, settings = Curve(workspace, trial, record), {**bench.fixed, **values}
    try:
        inputs = bench.inputs(settings, say)
        whole = workspace.is_trained()
        workspace.fill(inputs, TRAINS_ON, changed(bench.own.content, settings))
        if not whole:
            _train(bench, trial.number, workspace, curve, flow_run, say)
        curve.read(over=True)
    except Pruned:
        record.end("KILLED", values)
        return found("pruned", *curve.last)
    except GristmillError as error:
        _require_trial_to_blame(bench, error)
        record.end("FAILED", values, str(error))
        return found("failed", None, 0, str(error))
    training = workspace.training()
    record.finish(Beside(bench.recipe, bench.task, workspace.data, workspace.recipe_file))
    return found("complete", training["validation_loss"], training["kept_step"])


def _train(bench: Bench, number: int, workspace: Workspace, curve: "Curve", flow_run: str, say: Say) -> None:
    address = f"train@{bench.recipe}, trial {number + 1}"

    def watch() -> None:
        if bench.halt.is_set():
            raise Halted
        curve.look()

    with working(address, say) if bench.alone else nullcontext(_quiet) as hear:
        workspace.run(address, "tasks.train", [bench.recipe], hear, flow_run, watch)


def _quiet(_line: str) -> None:
    """Lines of trainings side by side cannot be told apart."""


def _require_trial_to_blame(bench: Bench, error: GristmillError) -> None:
    """Raises the error if other trials would meet it, too: a server that is away, a full disk."""
    again = f"finished trials are kept, and `{bench.own.workspace.goes_on}` goes on"
    if isinstance(error, TransientError) or (isinstance(error, StageFailed) and error.exit_code == EXIT_TRANSIENT):
        raise TransientError(f"{error}; {again}") from error
    if any(reason in str(error) for reason in DISK.values()):
        raise GristmillError(f"{error}; {again}") from error


class Curve:
    """The validation losses of a training while it runs, for the pruner and for MLflow."""

    def __init__(self, workspace: Workspace, trial: "optuna.Trial", record: "TrialRun") -> None:
        self.last: tuple[float | None, int] = (None, 0)
        """The last validation loss, and its step."""
        self._workspace, self._trial, self._record = workspace, trial, record
        self._next = 0.0
        self._size = -1
        self._away = False

    def look(self) -> None:
        """`read`, from time to time and if there is something new."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        size = sum(file.stat().st_size for file in self._files())
        if size != self._size:
            self._size = size
            self.read()

    def read(self, over: bool = False) -> None:
        """Report what is new, also the last step if the training is `over`.

        Raises Pruned at the first step at which the trial is worse than most were: looked at late or early, the same.
        """
        from tasks.tracking.record import read_journal

        for file in self._files():
            journal = read_journal(file)
            self._show(journal)
            reached = max((step for _, step in journal.points), default=0)
            losses = {step: value for (key, step), (value, _) in journal.points.items() if key == "validation_loss"}
            for step in sorted(step for step in losses if step > self.last[1]):
                goes_on = step < reached  # what has reached its end is not cut short
                if goes_on or over:
                    self.last = (losses[step], step)
                    self._trial.report(losses[step], step)
                if goes_on and self._trial.should_prune():
                    raise Pruned

    def _files(self) -> list[Path]:
        return sorted(self._workspace.data.glob("checkpoints/*/record.jsonl"), key=lambda file: file.stat().st_mtime)[
            -1:
        ]

    def _show(self, journal: "Journal") -> None:
        """Curves in MLflow while the trial trains; if MLflow is away meanwhile, they come at its end."""
        if self._away:
            return
        try:
            self._record.show(journal)
        except TransientError:
            self._away = True
