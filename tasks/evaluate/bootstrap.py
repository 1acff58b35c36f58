"""95 % confidence intervals by bootstrap resampling of documents (Koehn, EMNLP 2004), with sacrebleu's draws."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.settings import BootstrapSettings


def resampled_sums(statistics: NDArray[np.number], settings: BootstrapSettings) -> NDArray[np.float64]:
    """Sums of `statistics` [documents, columns] over resamples of the documents [samples, columns].

    Makes the same draws as sacrebleu for the same seed, but holds one resample in memory instead of all.
    """
    random, documents = np.random.default_rng(settings.seed), len(statistics)
    values = statistics.astype(np.float64)
    sums = np.empty((settings.samples, values.shape[1]))
    for number in range(settings.samples):
        drawn = random.choice(documents, size=documents, replace=True)
        sums[number] = np.bincount(drawn, minlength=documents) @ values
    return sums


def interval(scores: Iterable[float]) -> tuple[float, float]:
    """The bounds of the middle 95 % of resampled scores: 1/40 is cut off at each end."""
    ordered = sorted(scores)
    cut = len(ordered) // 40
    return ordered[cut], ordered[-cut - 1]
