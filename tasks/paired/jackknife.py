"""The standard error of a difference between two models on the same documents, honest with few groups.

Documents of a group (the scenes of a play) rise and fall together, so a verdict about text in general stands on the
number of groups. Each group is left out in turn, and the spread of the difference gives its standard error: the
cluster jackknife CV3 (MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 2023, equation 11). It is compared
with Student's t with G* - 1 degrees of freedom, where G* = (Σ w)² / Σ w² is the number of equal groups that would be as
informative (Kish 1965, section 11.7; cf. Carter, Schnepel and Steigerwald, REStat 2017). Two floors keep luck from
passing for certainty: the standard error is not below that of independent documents, and p is not below 2^(1 - n), the
least that a sign test can give on n documents with different scores.

Two-sided errors at 5 %, measured for a ratio (bits per byte) and an accuracy, 3, 10, 30 and 300 groups; equal sizes,
log-normal sizes (σ 1.3), one group with half of the text; normal and Student-t(3) group effects that make half of the
variance; 4,000 simulations each. Power to find a gain of 6 standard errors of the ratio, with 10 groups of log-normal
sizes, and with 3 equal groups.

    method                                   error, least to most     power, 10 unequal   3 equal groups
    CV3, t(G* - 1): kept                      0.3 to  5.3 %             86 %                81 %
    CV3, t(G* - 1) with the floors: kept      0.0 to  5.8 %             86 %                83 %
    CV3, t(G - 1)                             2.7 to 10.5 %             98 %                83 %
    CV1 (linearised), t(G - 1)                3.9 to 45.9 %
    CV3, t of Bell and McCaffrey (2002)       0.0 to  5.1 %             70 %                79 %
    percentile bootstrap over groups          4.7 to 31.9 %
    basic bootstrap over groups               4.2 to 86.8 %
    sacrebleu's p of the bootstrap           10.3 to 89.7 %
    bootstrap-t                               0.0 to 16.6 %
    sign flips of whole groups                0.0 to 14.2 %            100 %                 0 %
    wild cluster bootstrap-t, Webb weights    0.0 to  6.0 %             97 %                 6 %

(The row with the floors: the simulations of tests/compare, 3,000 each, where group effects make most of the variance.)
The wild bootstrap is stronger with ten or more unequal groups, but can hardly tell with three; one rule for all numbers
of groups was preferred. Where one group holds half of the text, the kept rule is careful: 0.1 to 4 %. No method holds
5 % where few groups have strongly skewed effects (log-normal, σ 1): the kept one has up to 13 %, the wild bootstrap as
much from 10 groups on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.paired.sums import Rows, Statistic, numbered, summed

LEAST_DEGREES = 0.5
"""Of freedom, where one group holds nearly everything; the interval is then very wide."""

CERTAIN = 50
"""From this many documents with different scores the sign test's floor is below every p of interest."""


@dataclass(frozen=True)
class Estimate:
    """A difference and how well it is known."""

    new: float
    old: float
    gain: float
    """Positive where the new model is better, in the metric's units."""
    error: float
    """Its standard error; infinite for a single unit."""
    degrees: float
    """Degrees of freedom of its t distribution."""
    units: int
    """Groups (or documents) with any weight."""
    effective: float
    """Equal units that would be as informative."""

    def below(self, bound: float) -> float:
        """One-sided p: the chance of so small a gain if the true one were `bound`."""
        from scipy.special import stdtr

        if not np.isfinite(self.error):
            return 1.0
        return float(stdtr(self.degrees, _divided(self.gain - bound, self.error)))

    @property
    def p(self) -> float:
        """Two-sided p of no difference."""
        from scipy.special import stdtr

        if not np.isfinite(self.error):
            return 1.0
        return float(2 * stdtr(self.degrees, -abs(_divided(self.gain, self.error))))

    def half_width(self, level: float) -> float:
        """Half the width of the two-sided interval of this level."""
        return self.error * quantile(self.degrees, (1 + level) / 2)


def quantile(degrees: float, level: float) -> float:
    """The quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, level))


def estimate(new: Statistic, old: Statistic, names: list[str] | None) -> Estimate:
    """The gain of `new` over `old`, its standard error and degrees of freedom.

    `names`: the group of each document, or None if each document is a unit. Both statistics are of the same documents.
    """
    units = np.arange(len(new)) if names is None else numbered(names)
    sums = [each.rows if names is None else summed(each.rows, units) for each in (new, old)]
    totals = new.total(), old.total()
    gain = _gain(new, *totals)
    weights = sum(each.weights / each.weights.sum() for each in (new, old))
    shares = np.bincount(units, np.asarray(weights)) / 2
    there = np.flatnonzero(shares > 0)
    if len(there) < 2:
        return Estimate(*totals, gain, np.inf, LEAST_DEGREES, len(there), float(len(there)))
    effective = float(1 / np.square(shares).sum())
    degrees = max(effective - 1, LEAST_DEGREES)
    error = _error(gain, _without(new, old, sums[0][there], sums[1][there]))
    if len(there) < len(new):
        counted = np.flatnonzero(np.asarray(weights) > 0)
        error = max(error, _error(gain, _without(new, old, new.rows[counted], old.rows[counted])))
    return Estimate(*totals, gain, max(error, _least_error(gain, degrees, new, old)), degrees, len(there), effective)


def influences(new: Statistic, old: Statistic) -> NDArray[np.float64]:
    """How much each document adds to the gain [documents]: the gain minus the gain without it."""
    return _gain(new, new.total(), old.total()) - _without(new, old, new.rows, old.rows)


def _gain(statistic: Statistic, new: float, old: float) -> float:
    return old - new if statistic.less_is_better else new - old


def _without(new: Statistic, old: Statistic, ours: Rows, theirs: Rows) -> NDArray[np.float64]:
    """The gain without each unit [units]."""
    left, right = new.without_each(ours), old.without_each(theirs)
    return right - left if new.less_is_better else left - right


def _error(gain: float, without: NDArray[np.float64]) -> float:
    """CV3: √((G - 1) / G · Σ (gain without the group - gain)²)."""
    return float(np.sqrt((1 - 1 / len(without)) * np.square(without - gain).sum()))


def _least_error(gain: float, degrees: float, new: Statistic, old: Statistic) -> float:
    """The standard error at which p is 2^(1 - n), for n documents with different scores."""
    ours, theirs = new.each(), old.each()
    differing = int(((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))).sum())
    if isinstance(new.rows, np.ndarray) and new.rows.shape == old.rows.shape:
        differing = int((new.rows != old.rows).any(axis=1).sum())
    if not 2 <= differing < CERTAIN:
        return 0.0
    return abs(gain) / quantile(degrees, 1 - 0.5**differing)


def _divided(gain: float, error: float) -> float:
    if error > 0:
        return gain / error
    return float(np.sign(gain)) * np.inf if gain else 0.0
