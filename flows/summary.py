"""The outcome of a run, for the command line and for the page in Prefect."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.stage.errors import DataError
from tasks.stage.run import DATA

TRADE = re.compile(r"\((?:R|TM|C)\)|\bCPU\b|\bProcessor\b|@.*", re.IGNORECASE)
"""Noise in the names of processors."""

Happened = Literal["ran", "unchanged", "restored"]
"""restored: DVC had already run the stage with these inputs and took its outputs from the cache."""


@dataclass(frozen=True)
class Row:
    """One stage of a run."""

    address: str
    happened: Happened
    seconds: float


@dataclass(frozen=True)
class Summary:
    """One run: a row per stage in order, metrics, registration, and a warning if the record is incomplete."""

    recipe: str
    flow_run: str | None
    """Its URL in Prefect, or its id without a server; None if no flow ran."""
    rows: list[Row]
    metrics: dict[str, Any] = field(default_factory=dict)
    registration: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    seconds: float = 0.0


def read_metrics(recipe: str) -> dict[str, Any]:
    """The metrics and baselines of a recipe's evaluation, and those of each source; empty before the first."""
    from tasks.register.scores import scalars

    found = read_json(DATA / recipe / "evaluation" / "metrics.json")
    return {key: value for key, value in found.items() if not isinstance(value, (dict, list))} | scalars(found)


def read_registration(recipe: str) -> dict[str, Any]:
    """The contents of registration.json; empty before the first registration."""
    return read_json(DATA / recipe / "registration.json")


def figure(value: Any) -> str:
    """A number formatted for people."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def cell(text: str) -> str:
    """A text as a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def machine_of(timing: dict[str, Any], tags: dict[str, str]) -> str:
    """The GPU, or the processor with its cores, from a training's timing.json and the tags of its run."""
    device = str(timing.get("device", "cpu"))
    if device != "cpu":
        return device
    processor = tags.get("gristmill.processor") or str(timing.get("processor", ""))
    cores = tags.get("gristmill.cores") or timing.get("threads")
    return ", ".join(filter(None, (" ".join(TRADE.sub(" ", processor).split()), f"{cores} cores" if cores else None)))


def timing_of(tags: dict[str, str]) -> dict[str, str]:
    """The texts of timing.json in the tags of a run."""
    start = "gristmill.timing."
    return {key.removeprefix(start): value for key, value in tags.items() if key.startswith(start)}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty if the file is missing. Raises DataError if it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: invalid JSON: {error}") from error
