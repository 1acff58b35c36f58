"""A trial of a sweep: the values it tried, and what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flows.yaml_edit import as_yaml
from tasks.stage.problems import TAGS

State = Literal["complete", "pruned", "failed", "running"]
WIDEST = 40
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


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Keys by their last parts, as many as say what they are: `learning_rate`, `schedule.name`, `prompts.0`."""
    keys = list(keys)
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        alone = (end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1)
        found[key] = next((end for end in alone if not (end.isdigit() or end in TAGS)), key)
    return found


def told_value(value: Any) -> str:
    """A value for people, at most WIDEST characters: numbers as they are, the rest as YAML."""
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else as_yaml(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def title(values: Mapping[str, Any]) -> str:
    """What differs, to name a run: `learning_rate 0.0021, hidden_size 128`."""
    return ", ".join(f"{name} {told_value(values[key])}" for key, name in short_keys(values).items())
