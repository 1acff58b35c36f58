"""The 95 % interval of a score, by resampling the documents (Koehn, EMNLP 2004), as sacrebleu draws them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.settings import BootstrapSettings


def resampled_sums(statistics: NDArray[np.number], settings: BootstrapSettings) -> NDArray[np.float64]:
    """Sums of `statistics` [documents, columns] over resamples of the documents [samples, columns].

    The draws are those of sacrebleu for the same seed; it would hold all resamples in memory at once, documents ×
    samples × columns, while here one is held at a time.
    """
    random, documents = np.random.default_rng(settings.seed), len(statistics)
    values = statistics.astype(np.float64)
    sums = np.empty((settings.samples, values.shape[1]))
    for number in range(settings.samples):
        drawn = random.choice(documents, size=documents, replace=True)
        sums[number] = np.bincount(drawn, minlength=documents) @ values
    return sums


def interval(scores: Iterable[float]) -> tuple[float, float]:
    """What is left of the scores of resamples when a fortieth is cut off at each end: its least and its greatest."""
    ordered = sorted(scores)
    cut = len(ordered) // 40
    return ordered[cut], ordered[-cut - 1]
