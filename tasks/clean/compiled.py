"""Decorators for functions over bytes that numba compiles.

    helper        called by compiled functions
    kernel        called by Python; compiled on its first call, in seconds, then loaded from a cache
    array_helper, array_kernel   the same for functions that make arrays

All release the GIL. The first two skip numba's reference counts of arrays, which cost more than small helpers do.

numba's own cache checks only the file of a kernel: after a change in a helper elsewhere it would use old code. Each
cache folder is named by a hash of the code of all files the kernel imports, of the versions of numba and Unicode, and
of the processor, so everything in it is valid, whichever process wrote it. If several processes need a kernel that is
not cached, one compiles it and the others wait.

The cache is in `NUMBA_CACHE_DIR` if set, else in `__pycache__` next to the kernel, else in the user's cache
(`~/.cache/numba`). If none of them is writable, every process compiles for itself.
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

# No function here needs extensions that other packages register, and importing awkward's is slow.
numba.core.entrypoints._already_initialized = True

Number = TypeVar("Number", bound=np.generic)

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
WITHOUT_ARRAYS = OPTIONS | {"_nrt": False}

helper: Any = numba.njit(**WITHOUT_ARRAYS)
array_helper: Any = numba.njit(**OPTIONS)

int64: Any = np.int64
"""Marks integers in compiled functions; mypy sees two types where numba sees one."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of this project; its arguments must have the same types in every call."""
    return _kept(numba.njit(**WITHOUT_ARRAYS)(function), function)


def array_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that makes arrays."""
    return _kept(numba.njit(**OPTIONS)(function), function)


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """The array, marked read-only; for the compiler that is a type of its own."""
    array.flags.writeable = False
    return array


def _kept(compiled: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    with suppress(RuntimeError):  # no writable place
        compiled._cache = kept = _Cache(function)
        compile_or_load = compiled.compile

        def compile_alone(signature: Any) -> Any:
            with global_compiler_lock, _alone(Path(kept.cache_path) / f"{function.__qualname__}.lock"):
                return compile_or_load(signature)

        compiled.compile = compile_alone
    return cast(Callable[..., Any], compiled)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """A lock between processes, by path."""
    with ExitStack() as stack:
        with suppress(OSError):  # no locks here, or another user's: each compiles for itself
            fcntl.flock(stack.enter_context(path.open("wb")), fcntl.LOCK_EX)
        yield


class _Place:
    """The cache folder of one function (numba's term: locator)."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._line, self._folder = function.__code__.co_firstlineno, folder

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Place | None":
        """The first writable place."""
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
        """Raises OSError if it is not writable."""
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
        """The cached code, or None; then compiling takes a while, which is announced once per process."""
        found = super().load_overload(sig, target_context)
        if found is None:
            _tell()
        return found


@cache
def _tell() -> None:
    print("compiling the cleaning rules, once: about a minute", file=sys.stderr, flush=True)


@cache
def _digest(module: str) -> str:
    """A hash of everything that compiled code depends on."""
    processor = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    versions = (numba.__version__, unicodedata.unidata_version)  # Unicode tables are compiled in
    code = hash_files(import_closure(module))
    return hashlib.blake2b(repr((code, versions, processor)).encode(), digest_size=8).hexdigest()
