"""The paired bootstrap over groups (Koehn, EMNLP 2004; Efron and Tibshirani 1993, chapter 8), as sacrebleu draws it.

Groups are drawn with replacement, as many as there are, the same for both models. All documents of a group come
together, so that their rows are summed first and a resample is one row of a matrix product: counts of the groups
[resamples, groups] times sums [groups, k]. With every document its own group, the same seed and the same number of
resamples, these are the resamples of `sacrebleu --paired-bs`, and `sacrebleu_p` is its p.

Its p is reported for comparison with the literature, and decides nothing: see `tasks.paired.jackknife`.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.paired.sums import CELLS, Statistic, numbered, summed

SEED = 12345
"""sacrebleu's default."""


def paired_bootstrap(
    new: Statistic, old: Statistic, names: list[str] | None, resamples: int, seed: int = SEED
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both models' metric on each resample, [resamples] each; `names`: the group of each document, or None if each
    document is its own group."""
    units = np.arange(len(new)) if names is None else numbered(names)
    ours, theirs = (each.rows if names is None else summed(each.rows, units) for each in (new, old))
    count = int(units.max()) + 1
    random = np.random.default_rng(seed)
    widest = max(count, ours.shape[1], theirs.shape[1])
    step = max(1, min(resamples, CELLS // widest))
    scores = np.empty((2, resamples))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = random.integers(0, count, (stop - start, count))  # the draws of `choice`
        drawn += np.arange(stop - start)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        for number, (each, rows) in enumerate(((new, ours), (old, theirs))):
            scores[number, start:stop] = each.value(counts @ rows)
    return scores[0], scores[1]


def sacrebleu_p(new: NDArray[np.float64], old: NDArray[np.float64], gain: float) -> float:
    """The p-value of `sacrebleu --paired-bs` from the resampled metrics [resamples] and the difference itself.

    One-sided for clear differences, so about half of a two-sided one. sacrebleu computes with 32 bits, which may count
    a resample at the edge otherwise. Resamples with an undefined metric do not count.
    """
    differences = np.abs(new - old)
    differences = differences[~np.isnan(differences)]
    beyond = int((differences - differences.mean() > abs(gain)).sum())
    return (beyond + 1) / (len(differences) + 1)
