"""What a run of a recipe did, for the command line and for the page in Prefect."""

from dataclasses import dataclass, field
from typing import Any, Literal

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
    flow_run: str
    """Where it can be seen in Prefect: a URL, or the run's id where there is no server."""
    rows: list[Row]
    metrics: dict[str, Any] = field(default_factory=dict)
    registration: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    seconds: float = 0.0
