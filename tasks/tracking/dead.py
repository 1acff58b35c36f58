"""Whether a training still runs: it holds a lock beside its checkpoints, which ends with its process.

Standard library only; see `embedded`.
"""

import fcntl
import platform
from pathlib import Path
from typing import IO

from tasks.stage.run import checkpoints_of
from tasks.tracking.embedded import find_uri, is_embedded


def hold(recipe: str, identity: str) -> IO[str]:
    """The lock of a training that runs, until it is closed or the process ends; its folder exists."""
    file = _lock(recipe, identity).open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def place() -> str:
    """The machine and the project, for a tag: on a server only they can tell whether a training is dead."""
    return f"{platform.node()}:{Path.cwd()}"


def is_dead(recipe: str, identity: str, its_place: str | None) -> bool:
    """Whether a training that MLflow calls RUNNING belongs to this project and has no process."""
    if not is_embedded(find_uri()) and its_place != place():
        return False
    path = _lock(recipe, identity)
    if not path.is_file():
        return True
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _lock(recipe: str, identity: str) -> Path:
    return checkpoints_of(recipe, identity) / "alive"
