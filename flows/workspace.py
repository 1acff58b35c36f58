"""One run per recipe and workspace at a time.

A lock of the operating system guards exactly what is in danger, the files of one workspace, and ends with its process;
a Prefect concurrency limit would count runs in other workspaces, too, and hold its slot after a `kill -9`.
(A deployment's concurrency limit leaves out a run that falls due while another one is at work, before it comes here.)
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.errors import GristmillError

LOCKS = Path(".dvc/tmp")


class BusyWorkspace(GristmillError):
    """Another run of the same recipe is at work in this workspace."""


@contextmanager
def claim(recipe: str, bases: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Hold the recipe, and those whose outputs it needs, for the length of a block.

    Raises BusyWorkspace where another run holds the recipe; waits for the others.
    """
    held: list[int] = []
    try:
        for name in sorted({recipe, *bases}):  # in one order everywhere, so that no two runs wait for each other
            held.append(_lock(name, say if name != recipe else None))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _lock(recipe: str, say: Callable[[str], None] | None) -> int:
    LOCKS.mkdir(parents=True, exist_ok=True)
    path = LOCKS / f"gristmill-{recipe}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    told = False
    try:
        while not _try(descriptor):
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "?"
            if say is None:
                raise BusyWorkspace(f"{recipe}: a run of it is at work here (process {owner}); wait for its end")
            if not told:
                say(f"waiting for the run of {recipe} (process {owner}), whose outputs this one needs")
                told = True
            time.sleep(1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
