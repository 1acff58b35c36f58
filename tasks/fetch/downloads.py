"""The user's cache of downloads, by SHA-256, verified on every use.

It is outside the project ($XDG_CACHE_HOME/gristmill/downloads), so that a second run needs no network.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.errors import GristmillError
from tasks.stage.identity import hash_file

RESERVE = 1 << 30
"""Bytes of the disk that a download leaves free."""


def require_room(place: str, part: Path, size: int) -> int:
    """How many bytes a download may add to `part`; `size` is what it announces. Raises GristmillError for too many."""
    room = shutil.disk_usage(part.parent).free - RESERVE
    if size > room:
        raise GristmillError(
            f"{place}: {size:,} bytes, but the disk of {part.parent} has room for {max(room, 0):,} only"
        )
    return room


def cache_folder(sha256: str, kind: str = "downloads") -> Path:
    """A folder in the user's cache, by default of one download; created if missing."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "gristmill", kind, sha256)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(sha256: str) -> Path | None:
    """The file with this SHA-256, or None; damaged files are deleted."""
    for path in sorted(cache_folder(sha256).iterdir()):
        if path.suffix in (".part", ".lock") or not path.is_file():
            continue
        if hash_file(path) == sha256:
            return path
        path.unlink()
    return None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A lock: one process fetches into `folder`; the others wait, and find what they need there."""
    with (folder / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(path: Path, sha256: str) -> Path:
    """Move a verified file into the cache, atomically."""
    place = cache_folder(sha256) / path.name
    moving = place.with_name(f"{place.name}.{os.getpid()}.part")
    shutil.move(path, moving)
    moving.replace(place)
    return place
