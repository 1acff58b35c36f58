"""A trial of a sweep: the values it tried, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["complete", "pruned", "failed", "running"]
ORDER: tuple[State, ...] = ("complete", "pruned", "failed", "running")


@dataclass(frozen=True)
class Trial:
    """One trial."""

    number: int
    """From 0."""
    values: dict[str, Any]
    """Key of the recipe → what the trial set."""
    state: State
    loss: float | None
    """The validation loss of the step that is kept; of a pruned trial, the last one it reached."""
    step: int
    """The step of this loss."""
    seconds: float
    run_id: str | None
    """Its run in MLflow."""
    told: str = ""
    """Of a failed trial: the sentence that ended it."""


def rank(trials: Iterable[Trial]) -> list[Trial]:
    """Best first: complete trials by loss, equal ones by number; then pruned, failed and running ones.

    A pruned trial that went further stands before one that was pruned earlier, whatever their losses.
    """

    def place(trial: Trial) -> tuple[int, int, float, int]:
        loss = float("inf") if trial.loss is None else trial.loss
        return ORDER.index(trial.state), -trial.step if trial.state == "pruned" else 0, loss, trial.number

    return sorted(trials, key=place)
