"""One run per recipe and workspace at a time.

A file lock guards exactly the files of one workspace and ends with its process. A Prefect concurrency limit would also
count runs in other workspaces, and would keep its slot after a `kill -9`. The file names the process and its flow run,
which it forgets at the end; so who finds a flow run in a file that nobody locks knows that it was killed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.errors import GristmillError, TransientError

LOCKS = Path(".dvc/tmp")


class BusyWorkspace(GristmillError):
    """Another run of the same recipe is in progress in this workspace."""


@contextmanager
def claim(recipe: str, bases: list[str], say: Callable[[str], None], flow_run: str = "") -> Iterator[set[str]]:
    """Lock the recipe, and the recipes that it depends on, for the length of a block, for a flow run if one is given.

    Yields the ids of flow runs that were killed here, once, to the next flow run. Raises BusyWorkspace if another run
    holds the recipe; waits for the others.
    """
    held: list[int] = []
    killed: set[str] = set()
    forget = flow_run
    try:
        for name in sorted({recipe, *bases}):  # a fixed order, against deadlocks
            held.append(_lock(name, say if name != recipe else None))
            _, left = _read(held[-1])
            _write(held[-1], flow_run or left)
            if flow_run and left:
                killed.add(left)
        yield killed
    except TransientError:  # Prefect's server may be lost, so that this flow run stays as it is there
        forget = ""
        raise
    finally:
        for descriptor in held:
            if forget:
                _write(descriptor, "")
            os.close(descriptor)


def _lock(recipe: str, say: Callable[[str], None] | None) -> int:
    LOCKS.mkdir(parents=True, exist_ok=True)
    path = LOCKS / f"gristmill-{recipe}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
