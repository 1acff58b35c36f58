"""Parses `evaluation/metrics.json`: a task's metrics with intervals and baselines, and the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.stage.task import FAMILIES, is_baseline


@dataclass(frozen=True)
class Measured:
    """A metric of the test split."""

    metric: str
    value: float
    interval: tuple[float, float] | None
    """Its confidence interval, if the evaluation computed one."""
    baselines: dict[str, float]
    """The same metric of the baselines: {"xz": 2.76}."""


def measured(task: str, metrics: Mapping[str, Any]) -> list[Measured]:
    """The metrics of a task that were measured, headline first."""
    found = []
    for metric in FAMILIES[task].metrics:
        if metric in metrics:
            low, high = metrics.get(f"{metric}_low"), metrics.get(f"{metric}_high")
            interval = None if low is None or high is None else (float(low), float(high))
            others = {
                key.removesuffix(f"_{metric}"): float(value)
                for key, value in metrics.items()
                if key.endswith(f"_{metric}") and is_baseline(key)
            }
            found.append(Measured(metric, float(metrics[metric]), interval, others))
    return found


def rest(task: str, metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """All other numbers: documents, tokens, bytes, …"""
    return {
        key: value
        for key, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_score(task, key)
    }


def _is_score(task: str, key: str) -> bool:
    metrics = FAMILIES[task].metrics
    if is_baseline(key):
        return any(key.endswith(f"_{metric}") for metric in metrics)
    return key.removesuffix("_low").removesuffix("_high") in metrics
