"""Which code of a stage differs from the code that made its outputs: version, libraries, files."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from flows.graph import LOCK
from tasks.code.versions import read_listed
from tasks.stage.code import FOLDER, OURS, ROOT, hash_files, hash_stage, import_closure
from tasks.stage.errors import RecipeError
from tasks.stage.scratch import scratch

CANDIDATES = 10
"""Commits that are looked at for the recorded code."""


@dataclass(frozen=True)
class CodeChange:
    """From the recorded code of a stage to the present one."""

    old: str
    new: str
    libraries: tuple[tuple[str, str | None, str | None], ...]
    """Name, old version, new version."""
    commit: str | None
    """The newest commit with the recorded code, if git has it."""
    files: tuple[tuple[str, str], ...]
    """Path, and whether it was added, removed or changed since that commit; comments and docstrings do not count."""


def find_code_change(stage: str, digest: str, recorded: Path | None, now: dict[str, Any]) -> CodeChange | None:
    """What differs between the code that dvc.lock knows by its MD5 (`digest`) and `now`, the content of its new file.

    `recorded`: where DVC's cache would have the old file. None if the code is the same.
    """
    before = _content(stage, digest, recorded)
    if before is None:
        return CodeChange(f"unknown (DVC's cache has lost {digest[:8]})", _told(now), (), None, ())
    if before == now:
        return None
    libraries = _differing(before.get("libraries", {}), now.get("libraries", {}))
    old, new = _told(before), _told(now)
    if old == new:
        return CodeChange(old, new, libraries, None, ())
    commit, files = _since(stage, digest, before)
    return CodeChange(old, new, libraries, commit, files)


def files_since(digest: str, path: str) -> tuple[str, list[str]] | None:
    """The commit in which dvc.lock got this MD5 of `path`, and what git says has changed there since.

    None if git does not know such a commit, or sees no change.
    """
    commit = _written(digest)
    listed = None if commit is None else _git("diff", "--name-only", "--relative", "-z", commit, "--", path)
    new = _git("ls-files", "--others", "--exclude-standard", "-z", "--", path)
    if commit is None or listed is None or new is None:
        return None
    files = sorted({*filter(None, (listed + new).decode("utf-8", "replace").split("\0"))})
    return (commit, files) if files else None


def _content(stage: str, digest: str, recorded: Path | None) -> dict[str, Any] | None:
    for path in filter(None, (recorded, FOLDER / f"{stage}.json")):
        if path.is_file() and md5(content := path.read_bytes(), usedforsecurity=False).hexdigest() == digest:
            return dict(json.loads(content))
    return None


def _told(content: dict[str, Any]) -> str:
    return f"version {content['version']}" if "version" in content else f"unlisted code {content.get('code')}"


def _differing(old: dict[str, str], new: dict[str, str]) -> tuple[tuple[str, str | None, str | None], ...]:
    names = dict.fromkeys((*new, *old))
    return tuple((name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _since(stage: str, digest: str, recorded: dict[str, Any]) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The newest commit with the recorded code, and the files of the stage that differ from it."""
    for commit in _candidates(digest):
        with scratch("code") as root:
            if _extract(commit, root) and _is_recorded(stage, root, recorded):
                return commit, _files(stage, root)
    return None, ()


def _candidates(digest: str) -> Iterator[str]:
    """HEAD, the newest commits that changed code since dvc.lock got this MD5, and the commit in which it did."""
    if (head := _git("rev-parse", "--verify", "--quiet", "HEAD")) is None:
        return
    yield head.decode().strip()
    if (written := _written(digest)) is not None:
        since = _git("log", "--format=%H", f"-{CANDIDATES}", f"{written}..HEAD", "--", *OURS) or b""
        yield from (*since.decode().split(), written)


def _written(digest: str) -> str | None:
    """The commit in which dvc.lock got this MD5."""
    found = (_git("log", "--format=%H", "-S", digest, "--", str(LOCK)) or b"").decode().split()
    return found[-1] if found else None


def _extract(commit: str, root: Path) -> bool:
    """Write the code of a commit to a folder; False if the commit has none."""
    packed = _git("archive", "--format=tar", commit, "--", *(name for name in OURS if Path(name).is_dir()))
    if packed is None:
        return False
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(root, filter="data")
    return True


def _is_recorded(stage: str, root: Path, recorded: dict[str, Any]) -> bool:
    """Whether the code of a commit is the recorded one."""
    try:
        code, listed = hash_stage(stage, root), read_listed(root).get(stage)
    except (RecipeError, ModuleNotFoundError, SyntaxError, OSError):  # a commit that was never run
        return False
    known = listed is not None and listed.version == recorded.get("version") and code in listed.code
    return known or code == recorded.get("code")


def _files(stage: str, root: Path) -> tuple[tuple[str, str], ...]:
    before, after = _hashes(stage, root), _hashes(stage, ROOT)
    found = []
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            found.append((path, "added" if path not in before else "removed" if path not in after else "changed"))
    return tuple(found)


def _hashes(stage: str, root: Path) -> dict[str, str]:
    room = root / "tasks" / stage
    own = {path.relative_to(root) for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {
        path.as_posix(): hash_files([path], root) for path in {*own, *import_closure(f"tasks.{stage}.__main__", root)}
    }


def _git(*arguments: str) -> bytes | None:
    """The output of git; None if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "CONFIG" in name}
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, timeout=60, env={**kept, "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
