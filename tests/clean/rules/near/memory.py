"""Memory that a call allocates through Python and NumPy."""

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def peak_memory(call: Callable[[], Result]) -> tuple[Result, int]:
    """The result and the peak memory in bytes of a second call; the first one compiles."""
    call()
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
