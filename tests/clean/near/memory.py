"""Memory that a call needs, as Python and NumPy ask for it."""

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def peak_memory(call: Callable[[], Result]) -> tuple[Result, int]:
    """What it gives, and the bytes it held at most: the least of three calls, as other threads may ask for some too."""
    result = call()  # compiles
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        call()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return result, min(peaks)
