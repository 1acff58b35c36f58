"""How this room compiles its kernels.

Compiled code is cached: beside the source, or where that cannot be written in the user's cache folder, or in
NUMBA_CACHE_DIR; where none of them can be written, each process compiles for itself, which takes seconds and changes
nothing else. numba writes its cache by renaming whole files. Two processes that compile the same kernel write the same
bytes, because each kernel is only ever called with arguments of one type: its callers see to that.

numba asks for a compilation anew when the kernel's own file has changed, and only then: a kernel calls no kernel and
reads no constant of another file.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])
Number = TypeVar("Number", bound=np.generic)


def kernel(function: Function) -> Function:
    """`function` as compiled code that does not hold the interpreter's lock; types are settled by its first call."""
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # "no locator available": there is no folder to cache in
        return cast(Function, njit(nogil=True)(function))


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """The array itself, no longer to be written to: to the compiler that is another type than one that may be."""
    array.flags.writeable = False
    return array
