"""What a run of a recipe did, for the command line and for the page in Prefect."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.stage.errors import DataError
from tasks.stage.run import DATA

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
    """What the evaluation of a recipe's model found, baselines beside it, tables left out; nothing where there is none
    yet."""
    found = read_json(DATA / recipe / "evaluation" / "metrics.json")
    return {key: value for key, value in found.items() if not isinstance(value, (dict, list))}


def read_registration(recipe: str) -> dict[str, Any]:
    """What was registered and why, as the register wrote it down; nothing where there is none yet."""
    return read_json(DATA / recipe / "registration.json")


def figure(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def read_json(path: Path) -> dict[str, Any]:
    """What a stage left in a file; nothing where there is no file. Raises DataError for a damaged one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not whole JSON: {error}") from error
