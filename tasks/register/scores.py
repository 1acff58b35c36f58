"""Parses `evaluation/metrics.json`: a task's metrics with intervals and baselines, and the rest."""

from collections.abc import Callable, Mapping
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
    gain: float | None = None
    """How much better than the base, if the evaluation compared them by document."""
    gain_interval: tuple[float, float] | None = None
    """Its confidence interval."""

    def told(self, show: Callable[[float], str]) -> str:
        """The baselines: `base 2.31 (gain 0.41, 0.35 to 0.47), xz 2.76`."""
        gain = "" if self.gain is None else f"gain {show(self.gain)}"
        if self.gain_interval is not None:
            gain += f", {show(self.gain_interval[0])} to {show(self.gain_interval[1])}"
        return ", ".join(
            f"{name} {show(value)}" + (f" ({gain})" if gain and name == "base" else "")
            for name, value in self.baselines.items()
        )


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """All numbers of metrics.json, those of each source of a mixture as `bits_per_byte/plays`."""
    parts = {
        f"{metric}/{part}": value
        for part, found in (metrics.get("by_part") or {}).items()
        for metric, value in found.items()
    }
    return {
        key: value
        for key, value in {**metrics, **parts}.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def measured(task: str, metrics: Mapping[str, Any]) -> list[Measured]:
    """The metrics of a task that were measured, headline first."""
    found = []
    for metric in FAMILIES[task].metrics:
        if metric in metrics:
            others = {
                key.removesuffix(f"_{metric}"): float(value)
                for key, value in metrics.items()
                if key.endswith(f"_{metric}") and is_baseline(key)
            }
            gain = metrics.get(f"{metric}_gain")
            found.append(
                Measured(
                    metric, float(metrics[metric]), _interval(metrics, metric), others,
                    None if gain is None else float(gain), _interval(metrics, f"{metric}_gain"),
                )
            )  # fmt: skip
    return found


def _interval(metrics: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
    return None if low is None or high is None else (float(low), float(high))


def rest(task: str, metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """All other numbers: documents, tokens, bytes, …"""
    return {
        key: value
        for key, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_score(task, key)
    }


def _is_score(task: str, key: str) -> bool:
    metrics = FAMILIES[task].metrics
    key = key.removesuffix("_low").removesuffix("_high").removesuffix("_gain")
    return key in metrics or (is_baseline(key) and any(key.endswith(f"_{metric}") for metric in metrics))
