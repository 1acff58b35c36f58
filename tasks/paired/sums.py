"""A metric as a function of sums over documents, and sums over groups of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.stage.task import METRICS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 1 << 21
"""Numbers in memory at a time, per array, when many sums are computed."""

Sums = NDArray[np.float64]
Rows: TypeAlias = "NDArray[np.float64] | csr_array"
"""Sparse for metrics with columns per class."""


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of sums over documents."""

    metric: str
    rows: Rows
    """[documents, k]"""
    value: Callable[[Sums], NDArray[np.float64]]
    """Sums [..., k] → the metric [...]; nan where it is undefined (no text, no masked token)."""
    weights: NDArray[np.float64]
    """How much each document counts in the metric [documents]: its bytes, its tokens, 1."""

    @property
    def less_is_better(self) -> bool:
        """Whether lower is better."""
        return METRICS[self.metric]

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def take(self, places: NDArray[np.int64]) -> "Statistic":
        """The statistic of some documents."""
        return replace(self, rows=self.rows[places], weights=self.weights[places])

    def total(self) -> float:
        """The metric of all documents."""
        return float(self.value(np.asarray(self.rows.sum(axis=0), np.float64)))

    def each(self) -> NDArray[np.float64]:
        """The metric of every document alone [documents]."""
        return self._in_parts(self.rows, lambda part: part)

    def without_each(self, rows: Rows) -> NDArray[np.float64]:
        """The metric without each of some rows [rows], which sum up to all documents."""
        whole = np.asarray(rows.sum(axis=0), np.float64)
        return self._in_parts(rows, lambda part: whole - part)

    def _in_parts(self, rows: Any, sums: Callable[[Sums], Sums]) -> NDArray[np.float64]:
        step = max(1, CELLS // rows.shape[1])
        parts = (rows[start : start + step] for start in range(0, rows.shape[0], step))
        return np.concatenate([self.value(sums(dense(part))) for part in parts])


def dense(rows: Rows) -> NDArray[np.float64]:
    """Rows as an ordinary array."""
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def ratio(
    metric: str, above: NDArray[np.float64], below: NDArray[np.float64], scale: float = 1.0, most: float | None = None
) -> Statistic:
    """A sum over a sum, times `scale`; `most`: the metric is the exponential of it, at most of this exponent."""

    def value(sums: Sums) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan) * scale
        return rate if most is None else np.exp(np.minimum(rate, most))

    return Statistic(metric, np.column_stack([above, below]), value, below)


def numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each name, from 0 in order of the first occurrence [names]."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def summed(rows: Rows, units: NDArray[np.int64]) -> Rows:
    """Sums of the rows [documents, k] of each unit [units, k]; `units` [documents]: the unit of each, from 0."""
    from scipy.sparse import csr_array

    ones, places = np.ones(len(units)), np.arange(len(units))
    return csr_array((ones, (units, places)), shape=(int(units.max()) + 1, len(units))) @ rows
