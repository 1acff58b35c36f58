"""Metrics of many answers, with intervals and gains, from rows of scores.

A row is of a conversation, or of a single answer: `bytes` and `loss` (nats), and the SCORES, which are None where no
answer was generated. Bits per byte are over the bytes of all rows, each other metric is the mean over the rows that
have it.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.exam import Row
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import BootstrapSettings
from tasks.paired.jackknife import estimate
from tasks.paired.sums import Statistic, numbered, ratio, summed

SCORES = ("chrf", "rougeL", "exact_match", "ended")
METRICS = ("bits_per_byte", *SCORES)

LEVEL = 0.95
"""Of the intervals of gains."""

LAST_TURN = 10
"""The table by turn has this and all later turns in one row."""


def rates(rows: Sequence[Row]) -> dict[str, float | None]:
    """The metrics of some rows; None where they have no bytes, or none has the score."""
    found = {"bits_per_byte": bits_per_byte(math.fsum(row["loss"] for row in rows), sum(row["bytes"] for row in rows))}
    return found | {name: mean(rows, name) for name in SCORES}


def mean(rows: Collection[Mapping[str, Any]], name: str) -> float | None:
    """The mean of a score over the rows that have it; None if none has."""
    values = [row[name] for row in rows if row[name] is not None]
    return round(math.fsum(values) / len(values), DIGITS) if values else None


def bits_per_byte(loss: float, size: int) -> float | None:
    """Bits per byte of a summed loss in nats; None without bytes."""
    return round(loss / math.log(2) / size, DIGITS) if size else None


def intervals(rows: Sequence[Row], groups: Sequence[str], settings: BootstrapSettings) -> dict[str, float]:
    """The 95 % interval of each metric, from resampled groups [rows]: bits_per_byte_low, …; empty for one group."""
    units, found = numbered(groups), dict[str, float]()
    if int(units.max()) < 1:
        return found
    for metric in METRICS:
        statistic = _statistic(rows, metric)
        values = statistic.value(resampled_sums(_dense(statistic, units), settings))
        if len(values := values[np.isfinite(values)]):
            low, high = interval(values.tolist())
            found |= {f"{metric}_low": round(low, DIGITS), f"{metric}_high": round(high, DIGITS)}
    return found


def gains(rows: Sequence[Row], base: Sequence[Row], groups: Sequence[str]) -> dict[str, float]:
    """How much better each metric is than the base's on the same conversations, with its 95 % interval:
    bits_per_byte_gain, bits_per_byte_gain_low, … Positive: better than the base.

    Paired by conversation, with groups as units: see `tasks.paired.jackknife`. A single group has no interval.
    """
    found: dict[str, float] = {}
    for metric in METRICS:
        ours, theirs = _statistic(rows, metric), _statistic(base, metric)
        if np.isnan(ours.total()) or np.isnan(theirs.total()):
            continue
        known = estimate(ours, theirs, list(groups))
        found[f"{metric}_gain"] = round(known.gain, DIGITS)
        if math.isfinite(half := known.half_width(LEVEL)):
            found[f"{metric}_gain_low"] = round(known.gain - half, DIGITS)
            found[f"{metric}_gain_high"] = round(known.gain + half, DIGITS)
    return found


def by_turn(answers: Iterable[Row]) -> dict[str, Row]:
    """The metrics of the first answers of all conversations, of the second ones, …; rows have the key `turn`."""
    in_order = sorted(answers, key=lambda row: int(row["turn"]))
    members: dict[int, list[Row]] = {}
    for row in in_order:
        members.setdefault(min(row["turn"], LAST_TURN), []).append(row)
    return {_turn(turn): {"answers": len(own), **rates(own)} for turn, own in members.items()}


def _turn(turn: int) -> str:
    return str(turn) if turn < LAST_TURN else f"{turn} and later"


def _statistic(rows: Sequence[Mapping[str, Any]], metric: str) -> Statistic:
    if metric == "bits_per_byte":
        above, below = (np.array([row[name] for row in rows], np.float64) for name in ("loss", "bytes"))
        return ratio(metric, above, below, 1 / math.log(2))
    values = np.array([math.nan if row[metric] is None else row[metric] for row in rows])
    there = ~np.isnan(values)
    return ratio(metric, np.where(there, values, 0.0), there.astype(np.float64))


def _dense(statistic: Statistic, units: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rows of each group, summed."""
    found: NDArray[np.float64] = np.asarray(summed(statistic.rows, units))
    return found
