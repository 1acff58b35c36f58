"""Metrics of many pairs, with intervals and gains, from rows of scores."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.exam import Row
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import BootstrapSettings
from tasks.paired.jackknife import estimate
from tasks.paired.sums import Statistic, numbered, ratio, summed

METRICS = ("preference_accuracy", "preference_margin", "bits_per_byte")
COLUMNS = {"preference_accuracy": "correct", "preference_margin": "margin", "bits_per_byte": "loss"}
"""The column of each metric; with `base_` before it, that of the base."""
COMPARED = ("preference_accuracy", "bits_per_byte")
"""Metrics that the base has, too."""
LEVEL = 0.95
"""Of the intervals of gains."""


def preferred(chosen: float, rejected: float) -> float:
    """1 if the chosen answer has the higher number, 0 if the rejected one has, 0.5 if they are equal."""
    return 0.5 + 0.5 * ((chosen > rejected) - (chosen < rejected))


def rates(rows: Sequence[Row]) -> dict[str, float]:
    """The metrics of some rows."""
    return {metric: round(_statistic(rows, metric).total(), DIGITS) for metric in METRICS}


def base_rates(rows: Sequence[Row]) -> dict[str, float]:
    """The same of the base, where it has the metric."""
    return {f"base_{metric}": round(_statistic(rows, metric, "base_").total(), DIGITS) for metric in COMPARED}


def intervals(rows: Sequence[Row], settings: BootstrapSettings) -> dict[str, float]:
    """The 95 % interval of each metric, from resampled groups: preference_accuracy_low, …; empty for one group."""
    units, found = numbered([row["group"] for row in rows]), dict[str, float]()
    if int(units.max()) < 1:
        return found
    for metric in METRICS:
        statistic = _statistic(rows, metric)
        sums = np.asarray(summed(statistic.rows, units))
        low, high = interval(statistic.value(resampled_sums(sums, settings)).tolist())
        found |= {f"{metric}_low": round(low, DIGITS), f"{metric}_high": round(high, DIGITS)}
    return found


def gains(rows: Sequence[Row]) -> dict[str, float]:
    """How much better accuracy and bits per byte are than the base's, with a 95 % interval: bits_per_byte_gain, …

    Paired by document, with groups as units: see `tasks.paired.jackknife`. A negative gain of bits_per_byte is drift.
    """
    found: dict[str, float] = {}
    for metric in COMPARED:
        known = estimate(_statistic(rows, metric), _statistic(rows, metric, "base_"), [row["group"] for row in rows])
        found[f"{metric}_gain"] = round(known.gain, DIGITS)
        if math.isfinite(half := known.half_width(LEVEL)):
            found[f"{metric}_gain_low"] = round(known.gain - half, DIGITS)
            found[f"{metric}_gain_high"] = round(known.gain + half, DIGITS)
    return found


def likelihoods(rows: Sequence[Row], prefix: str = "") -> dict[str, float]:
    """How often the chosen answer is likelier, by log-probability and by that per token."""
    whole = [preferred(row[f"{prefix}chosen"], row[f"{prefix}rejected"]) for row in rows]
    each = [
        preferred(row[f"{prefix}chosen"] / row["chosen_tokens"], row[f"{prefix}rejected"] / row["rejected_tokens"])
        for row in rows
    ]
    return {
        f"{prefix}accuracy_by_likelihood": round(math.fsum(whole) / len(whole), DIGITS),
        f"{prefix}accuracy_by_likelihood_per_token": round(math.fsum(each) / len(each), DIGITS),
    }


def longer_wins(rows: Sequence[Row]) -> dict[str, float]:
    """The baseline that prefers the longer answer."""
    longer = [preferred(row["length_difference"], 0) for row in rows]
    return {"longer_preference_accuracy": round(math.fsum(longer) / len(longer), DIGITS)}


def of_lengths(rows: Sequence[Row]) -> dict[str, Any]:
    """Whether the model's preference goes with length; None where that is undefined."""
    longer, found = [preferred(row["length_difference"], 0) for row in rows], dict[str, Any]()
    for name, kind in (("longer", 1.0), ("shorter", 0.0), ("equal", 0.5)):
        own = [row["correct"] for row, is_longer in zip(rows, longer, strict=True) if is_longer == kind]
        found[f"accuracy_chosen_{name}"] = round(math.fsum(own) / len(own), DIGITS) if own else None
        found[f"documents_chosen_{name}"] = len(own)
    margins, lengths = (np.array([row[name] for row in rows], np.float64) for name in ("margin", "length_difference"))
    found["length_correlation"] = _correlation(margins, lengths)
    return found


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    one, other = one - one.mean(), other - other.mean()
    below = math.sqrt(float(one @ one) * float(other @ other))
    return round(float(one @ other) / below, DIGITS) if below > 0 else None


def _statistic(rows: Sequence[Row], metric: str, prefix: str = "") -> Statistic:
    above = np.array([row[f"{prefix}{COLUMNS[metric]}"] for row in rows], np.float64)
    if metric == "bits_per_byte":
        return ratio(metric, above, np.array([row["bytes"] for row in rows], np.float64), 1 / math.log(2))
    return ratio(metric, above, np.ones(len(rows)))
