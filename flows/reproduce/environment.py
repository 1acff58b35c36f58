"""The Python that has the packages of a work tree's requirements.lock: this one, or one that is set up for it."""

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from tasks.fetch.downloads import cache_folder
from tasks.stage.errors import GristmillError, one_line
from tasks.stage.identity import fingerprint, hash_file

LOCK, SETUP = "requirements.lock", "infra/install.sh"
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)\s*(?:;\s*([^\\\n]+))?", re.MULTILINE)
READY = ".ready"


def find_python(tree: Path, say: Callable[[str], None]) -> Path:
    """A Python with the locked packages; sets one up in the user's cache if this one has others.

    Raises GristmillError if that fails.
    """
    lock = tree / LOCK
    if not lock.is_file():
        say(f"its commit has no {LOCK}: running with the packages of this environment")
        return Path(sys.executable)
    others = list(differing(lock.read_text(encoding="utf-8")))
    if not others:
        return Path(sys.executable)
    say(f"this environment is not the locked one ({_some(others)})")
    return _set_up(tree, say)


def differing(lock: str) -> Iterator[str]:
    """The packages of a lock that are not installed here in the locked version."""
    from packaging.markers import Marker

    for name, version, marker in PIN.findall(lock):
        try:
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != version and (not marker or Marker(marker.strip()).evaluate()):
            yield f"{name} {version} locked, {installed}{'' if installed == 'not installed' else ' installed'}"


def beside(recorded: Path) -> list[str]:
    """Packages whose version here is not the one with which the run was registered."""
    try:
        lines = recorded.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    then = dict(line.split("==", 1) for line in lines if "==" in line)
    now = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return [
        f"{name} {then[name]}, here {now[name]}" for name in sorted(then) if now.get(name, then[name]) != then[name]
    ]


def _set_up(tree: Path, say: Callable[[str], None]) -> Path:
    if not (tree / SETUP).is_file():
        raise GristmillError(f"its environment cannot be set up: its commit has no {SETUP}")
    folder = cache_folder(fingerprint([hash_file(tree / LOCK), sys.version, sys.platform])[:16], "environments")
    python = folder / ".venv" / "bin" / "python"
    with (folder / "setup.lock").open("w") as waiting:
        fcntl.flock(waiting, fcntl.LOCK_EX)
        if (folder / READY).is_file() and python.is_file():
            say(f"its environment is in {folder}")
            return python
        say(f"setting up its environment in {folder}")
        (folder / READY).unlink(missing_ok=True)
        base = getattr(sys, "_base_executable", None) or sys.executable
        done = subprocess.run(
            ["sh", SETUP, base, str(folder / ".venv"), "anew"], cwd=tree, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(folder / ".venv", ignore_errors=True)
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = one_line(" ".join(lines[-4:]))[-300:] or f"{SETUP} ended with {done.returncode}"
            raise GristmillError(f"its environment cannot be set up: {why}")
        (folder / READY).touch()
    return python


def _some(items: list[str]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{', '.join(items[:3])}{more}"
