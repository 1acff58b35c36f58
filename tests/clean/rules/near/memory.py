"""Memory that a call needs, as Python and NumPy ask for it."""

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def peak_memory(call: Callable[[], Result]) -> tuple[Result, int]:
    """What it gives, and the bytes it held at most, in a second call: the first one compiles."""
    call()
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
