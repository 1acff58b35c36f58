"""Functions over bytes that numba compiles: what goes in is a Python function, what comes out does the same in C time.

    helper        for a function that compiled functions call
    kernel        for one that Python calls; compiled on its first call, in seconds, then read from a cache
    array_helper  the same for functions that make arrays
    array_kernel

All release the GIL. The first two are compiled without numba's counts of references to arrays, which cost several times
as much as small helpers do.

numba's own cache looks at the file of a kernel alone: after a change in a helper of another file it would go on with
the old code, and a process that reads while another one writes may get code of before the change. Here the cache is a
folder of its own for each content of all files that the kernel needs, version of numba and of Unicode, and kind of
processor. Whatever is found in such a folder is right, by whichever process it was written, and writing is a rename.
Of processes that need a kernel that is not there yet one compiles it, and the others wait for it.

It lies in `NUMBA_CACHE_DIR` if that is set, else in `__pycache__` beside the kernel, else, where the package is
read-only, in the user's cache (`~/.cache/numba`). Where nothing can be written, every process compiles for itself.
"""

import fcntl
import hashlib
import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba
import numba.core.entrypoints
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.misc.appdirs import AppDirs
from numpy.typing import NDArray

from tasks.stage.code import hash_files, import_closure

# Other packages' extensions of numba are none that a function of ours needs, and awkward's takes long to import.
numba.core.entrypoints._already_initialized = True

Number = TypeVar("Number", bound=np.generic)

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
WITHOUT_ARRAYS = OPTIONS | {"_nrt": False}

helper: Any = numba.njit(**WITHOUT_ARRAYS)
array_helper: Any = numba.njit(**OPTIONS)

int64: Any = np.int64
"""For numbers in compiled functions, where an int is one of these; mypy takes them for two types."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a module of ours, compiled; its arguments must have the same types in every call."""
    return _kept(numba.njit(**WITHOUT_ARRAYS)(function), function)


def array_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for one that makes arrays."""
    return _kept(numba.njit(**OPTIONS)(function), function)


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """The array itself, no longer to be written to: to the compiler that is another type than one that may be."""
    array.flags.writeable = False
    return array


def _kept(compiled: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    with suppress(RuntimeError):  # no place that can be written to
        compiled._cache = kept = _Cache(function)
        compile_or_load = compiled.compile

        def compile_alone(signature: Any) -> Any:
            with global_compiler_lock, _alone(Path(kept.cache_path) / f"{function.__qualname__}.lock"):
                return compile_or_load(signature)

        compiled.compile = compile_alone
    return cast(Callable[..., Any], compiled)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process is inside with the same path."""
    with ExitStack() as stack:
        with suppress(OSError):  # no locks here, or a lock of another user: each compiles for itself
            fcntl.flock(stack.enter_context(path.open("wb")), fcntl.LOCK_EX)
        yield


class _Place:
    """Where the compiled form of one function lies; what numba calls a locator."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._line, self._folder = function.__code__.co_firstlineno, folder

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Place | None":
        """The first place that can be written to."""
        places = [Path(file).parent / "__pycache__", Path(AppDirs("numba", appauthor=False).user_cache_dir)]
        if chosen := os.environ.get("NUMBA_CACHE_DIR"):
            places.insert(0, Path(chosen))
        for place in places:
            found = cls(function, place / f"kernels-{_digest(function.__module__)}")
            try:
                found.ensure_cache_path()
            except OSError:
                continue
            return found
        return None

    def ensure_cache_path(self) -> None:
        """Raises OSError where it cannot be written to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self._folder).close()

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes: list[type[object]] = [_Place]  # noqa: RUF012  as numba has it


class _Cache(FunctionCache):
    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled before, or None, which means that it will take a while: that is told once a process."""
        found = super().load_overload(sig, target_context)
        if found is None:
            _tell()
        return found


@cache
def _tell() -> None:
    print("compiling rules that did not run here before: a minute, once", file=sys.stderr, flush=True)


@cache
def _digest(module: str) -> str:
    """Of everything that makes the compiled form what it is."""
    processor = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    versions = (numba.__version__, unicodedata.unidata_version)  # tables of characters become part of the code
    code = hash_files(import_closure(module))
    return hashlib.blake2b(repr((code, versions, processor)).encode(), digest_size=8).hexdigest()
