"""What a run of a recipe did, for the command line and for the page in Prefect."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.contract.stage import DATA

Happened = Literal["ran", "unchanged", "restored"]
"""restored: DVC had run the stage with these very inputs before and took its outputs from the cache."""


@dataclass(frozen=True)
class Row:
    """One stage of a run."""

    address: str
    happened: Happened
    seconds: float


@dataclass(frozen=True)
class Summary:
    """One run: a row per stage in order, the metrics, what the register said, and what is still to do."""

    recipe: str
    flow_run: str | None
    """Where it can be seen in Prefect: a URL, or the run's id where there is no server; None where no flow ran."""
    rows: list[Row]
    metrics: dict[str, Any] = field(default_factory=dict)
    registration: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    seconds: float = 0.0


def read_metrics(recipe: str) -> dict[str, Any]:
    """What the evaluation of a recipe's model found, baselines beside it; nothing where there is none yet."""
    return _read_json(DATA / recipe / "evaluation" / "metrics.json")


def read_registration(recipe: str) -> dict[str, Any]:
    """What was registered and why, as the register wrote it down; nothing where there is none yet."""
    return _read_json(DATA / recipe / "registration.json")


def figure(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
