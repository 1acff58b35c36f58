"""DVC's locks on single paths that a killed process left behind.

DVC releases them, too, with a warning for each; but only if no process has the number, which a restarted machine gives
to another program, and a container without an init process keeps for the dead one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.repo import Repo

SLACK = 2.0
"""Seconds by which the start of a process and the time of a file may be wrong."""


def release_of_killed(repo: "Repo") -> None:
    """Release what killed processes have locked. Raises DVC's LockError while another process changes the locks."""
    path = Path(repo.tmp_dir, "rwlock")
    if not path.is_file() or path.stat().st_size <= len("{}"):
        return
    from dvc.fs import localfs
    from dvc.rwlock import _edit_rwlock

    written = path.stat().st_mtime
    with _edit_rwlock(repo.tmp_dir, localfs, by_hardlinks(repo)) as lock:
        kept = {place: holder for place, holder in lock["write"].items() if not holder or lives(holder["pid"], written)}
        lock["write"] = kept
        reading = {
            place: [holder for holder in holders if lives(holder["pid"], written)]
            for place, holders in lock["read"].items()
        }
        lock["read"] = {place: holders for place, holders in reading.items() if holders}


def by_hardlinks(repo: "Repo") -> bool:
    """Whether DVC locks by hardlinks, for file systems without locks."""
    return bool(repo.config["core"].get("hardlink_lock", False))


def lives(process: int, written: float) -> bool:
    """Whether the process that wrote its number to a file, last changed at `written`, still runs."""
    import psutil

    if not psutil.pid_exists(process):
        return False
    try:
        found = psutil.Process(process)
        return bool(found.status() != psutil.STATUS_ZOMBIE and found.create_time() < written + SLACK)
    except psutil.NoSuchProcess:
        return False
