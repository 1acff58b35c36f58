"""What the system is told about memory and threads before torch is loaded."""

import ctypes
import os
import sys
from importlib import metadata

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""mallopt(3)."""

THREADS = {"KMP_BLOCKTIME": "1", "GOMP_SPINCOUNT": "2000"}
"""How long an idle thread looks for work before it sleeps: milliseconds for Intel's OpenMP, rounds for GNU's."""


def prepare() -> None:
    """To be called before the first import of torch, which loads OpenMP."""
    _keep_memory()
    _share_cores()


def _keep_memory() -> None:
    """From now on this process keeps freed memory for its next use. Only glibc knows how; elsewhere nothing happens.

    glibc maps each block of more than 32 MiB (at first of 128 KiB) afresh: pages to be zeroed by the kernel and cold in
    every cache. On two cores a step of the recipe `shakespeare` took 0.30 s so, and 0.23 s when the blocks are kept.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(M_TOP_PAD, 64 << 20)


def _share_cores() -> None:
    """Threads without work neither take a core from those that have some, nor sleep so soon that waking costs more.

    The work of a step is thousands of short pieces for all threads. GNU's OpenMP, which comes with torch, is slow on
    one side or the other: trainings of the recipe `shakespeare` on two virtual cores, in tokens a second of the same
    hour, made 8,600 with its own 300,000 rounds and 755 as soon as another process took one core; 5,200 and 4,300 with
    2,000 rounds. Intel's made 7,200 and 4,200, and the same bytes.
    """
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    try:
        files = metadata.files("intel-openmp") or []
    except metadata.PackageNotFoundError:  # pyproject.toml asks for it where it exists: Linux on x86-64
        return
    for file in files:
        if file.name == "libiomp5.so":
            ctypes.CDLL(str(file.locate()), ctypes.RTLD_GLOBAL)  # torch finds the names of OpenMP here first
