"""One run per recipe and workspace at a time.

A file lock guards exactly the files of one workspace and ends with its process. A Prefect concurrency limit would also
count runs in other workspaces, and would keep its slot after a `kill -9`.
(A deployment's own limit cancels a run that is due while another is in progress, before it gets here.)
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.errors import GristmillError

LOCKS = Path(".dvc/tmp")


class BusyWorkspace(GristmillError):
    """Another run of the same recipe is in progress in this workspace."""


@contextmanager
def claim(recipe: str, bases: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Lock the recipe, and the recipes that it depends on, for the length of a block.

    Raises BusyWorkspace if another run holds the recipe; waits for the others.
    """
    held: list[int] = []
    try:
        for name in sorted({recipe, *bases}):  # a fixed order, against deadlocks
            held.append(_lock(name, say if name != recipe else None))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _lock(recipe: str, say: Callable[[str], None] | None) -> int:
    path = LOCKS / f"gristmill-{recipe}.lock"
    try:
        LOCKS.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise GristmillError(f"{path}: cannot lock the recipe {recipe}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "?"
            if say is None:
                raise BusyWorkspace(
                    f"{recipe}: another run is in progress here (process {owner}); wait for it to finish"
                ) from error
            say(f"waiting for the run of {recipe} (process {owner}): this run needs its outputs")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
