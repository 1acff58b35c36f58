"""Memory, thread and log settings of this process, made before torch is loaded."""

import ctypes
import gc
import logging
import mmap
import os
import sys
from importlib import import_module, metadata

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""

HUGE, PAGE = 768 << 20, 2 << 20
"""Bytes of the heap that huge pages back, and of such a page."""

SWITCH_SECONDS = 0.0005
"""How long a thread runs Python before another may: 5 ms by default. Each operation of torch lets go of Python and
waits for it again: while the record's thread imported MLflow, a step of 1,000 operations took 5 s."""

THREADS = {"KMP_BLOCKTIME": "1", "GOMP_SPINCOUNT": "2000"}
"""How long an idle thread spins before it sleeps: milliseconds for Intel's OpenMP, iterations for GNU's."""


MODELS = ("torch", "accelerate", "transformers.modeling_utils")
"""What every stage with a model imports."""


def prepare(*modules: str) -> None:
    """Call before the first import of torch, which loads OpenMP; then import these modules."""
    _keep_memory()
    _share_cores()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # PEFT imports it, and it names kernels it lacks
    sys.setswitchinterval(SWITCH_SECONDS)
    _load(modules)


def _load(modules: tuple[str, ...]) -> None:
    """Import modules with the garbage collector switched off, and let it never look at what they made.

    `MODELS` make half a million objects, none of them garbage. The collector would walk them again and again, a fifth
    of the time of the import (3.0 s of CPU time, 2.4 s without), and a training's full collections would as well.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        for name in modules:
            import_module(name)
        gc.freeze()
    finally:
        if on:
            gc.enable()


def _keep_memory() -> None:
    """Make this process keep freed memory for reuse. glibc only; elsewhere this does nothing.

    glibc maps each block of more than 32 MiB (initially 128 KiB) afresh: the kernel zeroes its pages, and they are cold
    in every cache. On two cores, a step of the recipe `shakespeare` took 0.30 s that way, 0.23 s with blocks kept.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(M_TOP_PAD, 64 << 20)
        _ask_for_huge_pages()


def _ask_for_huge_pages() -> None:
    """Let the kernel back the next HUGE bytes of the heap with huge pages, where it may (`madvise`, `always`).

    A step walks through more memory than the processor has addresses of small pages for. `shakespeare`, compiled, by
    turns: 39 to 41 ms a step instead of 40 to 47. Nothing is used before it is written to, by 2 MiB at a time.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.madvise.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], [ctypes.c_void_p]
    if block := libc.malloc(HUGE):
        first = -(-block // PAGE) * PAGE
        libc.madvise(first, (block + HUGE - first) // PAGE * PAGE, mmap.MADV_HUGEPAGE)
        libc.free(block)  # stays in the heap, whose end it is: M_TRIM_THRESHOLD


def _share_cores() -> None:
    """Keep idle threads from blocking cores that others need, and from sleeping so soon that waking costs more.

    A step is thousands of short pieces of work for all threads. GNU's OpenMP, which ships with torch, is slow in one
    case or the other. Training `shakespeare` on two virtual cores, alone and with another process on one core, made
    8,600 and 755 tokens/s with its default of 300,000 iterations, 5,200 and 4,300 with 2,000 (measured within one
    hour). Intel's made 7,200 and 4,200, with identical bytes.
    """
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    try:
        files = metadata.files("intel-openmp") or []
    except metadata.PackageNotFoundError:  # pyproject.toml requires it on x86-64 Linux only
        return
    for file in files:
        if file.name == "libiomp5.so":
            ctypes.CDLL(str(file.locate()), ctypes.RTLD_GLOBAL)  # torch resolves OpenMP's symbols here first
