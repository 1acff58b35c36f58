"""One run per recipe and workspace at a time.

A file lock guards exactly the files of one workspace and ends with its process. A Prefect concurrency limit would also
count runs in other workspaces, and would keep its slot after a `kill -9`. The file names the process and its flow run:
who locks the next one asks Prefect whether that flow run has ended, unless its process is just about to say so.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.locks import lives
from tasks.stage.errors import GristmillError

LOCKS = Path(".dvc/tmp")


class BusyWorkspace(GristmillError):
    """Another run of the same recipe is in progress in this workspace."""


@contextmanager
def claim(recipe: str, bases: list[str], say: Callable[[str], None], flow_run: str = "") -> Iterator[set[str]]:
    """Lock the recipe, and the recipes that it depends on, for the length of a block, for a flow run if one is given.

    Yields to a flow run the ids of those before it, whose processes are gone. Raises BusyWorkspace if another run holds
    the recipe; waits for the others.
    """
    held: list[int] = []
    before: set[str] = set()
    try:
        for name in sorted({recipe, *bases}):  # a fixed order, against deadlocks
            held.append(_lock(name, say if name != recipe else None))
            owner, left = _read(held[-1])
            if flow_run and left and not _is_ending(owner, held[-1]):
                before.add(left)
            _write(held[-1], flow_run or left)
        yield before
    finally:
        for descriptor in held:
            os.close(descriptor)


def _is_ending(owner: str, descriptor: int) -> bool:
    """Whether the process that has just released this file still runs, and will report its flow run by itself."""
    return owner.isdecimal() and int(owner) != os.getpid() and lives(int(owner), os.fstat(descriptor).st_mtime)


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
            owner, _ = _read(descriptor)
            if say is None:
                raise BusyWorkspace(
                    f"{recipe}: another run is in progress here (process {owner}); wait for it to finish"
                ) from error
            say(f"waiting for the run of {recipe} (process {owner}): this run needs its outputs")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _read(descriptor: int) -> tuple[str, str]:
    """The process and the flow run that a lock file names: `?` and empty if none."""
    lines = os.pread(descriptor, 256, 0).decode("ascii", "replace").splitlines()
    process, flow_run, *_ = [*lines, "", ""]
    return process or "?", flow_run


def _write(descriptor: int, flow_run: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n{flow_run}\n".encode(), 0)
