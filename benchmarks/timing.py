"""The fastest of several runs, and the size of texts."""

import time
import timeit
from collections.abc import Callable, Sequence


def best(work: Callable[[], object], times: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the fastest of several runs; CPU time of this process, unless another clock is given."""
    return min(timeit.repeat(work, timer=clock, repeat=times, number=1))


def megabytes(texts: Sequence[str]) -> float:
    """Millions of bytes in UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6
