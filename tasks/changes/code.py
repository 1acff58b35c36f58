"""Code that differs: commits and files by git, versions of each stage's code and libraries, packages."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from tasks.changes.record import DIRTY, ENVIRONMENT, LOCK, Record, object_path
from tasks.stage.code import FOLDER
from tasks.stage.errors import GristmillError
from tasks.stage.settings import read_yaml
from tasks.tracking.commit import git

HASH = re.compile(r"[0-9a-f]{7,64}")
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==(\S+)$", re.MULTILINE)
MOST = 200
"""Commits and files that are named."""
STATUS = {"A": "added", "D": "deleted", "M": "changed", "R": "renamed", "C": "copied", "T": "changed"}
LONGEST = 60.0
"""Seconds that git may take."""


@dataclass(frozen=True)
class Commit:
    """A commit that only one of the two has in its history."""

    hash: str
    date: str
    author: str
    subject: str
    of_new: bool
    """Whether it leads to the new record; else only the old one has it."""


@dataclass(frozen=True)
class File:
    """A file that differs between the commits."""

    path: str
    status: str


@dataclass(frozen=True)
class Version:
    """Something with a version, in both records; None: missing."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Code:
    """The code of both records."""

    old: str | None
    """The commit, if it was recorded."""
    new: str | None
    commits: tuple[Commit, ...] = ()
    more_commits: int = 0
    files: tuple[File, ...] = ()
    more_files: int = 0
    stages: tuple[Version, ...] = ()
    """The code of each stage as DVC knows it, where it differs."""
    libraries: tuple[Version, ...] = ()
    """Libraries that a stage declares, where their versions differ."""
    packages: tuple[Version, ...] = ()
    """All installed packages that differ."""
    notes: tuple[str, ...] = ()


def find_code(old: Record, new: Record) -> Code:
    """Everything about code that differs. What cannot be told is a sentence in `notes`."""
    notes: list[str] = []
    commits, files = _history(old, new, notes)
    stages, libraries = _stages(old, new, notes)
    return Code(
        old.commit,
        new.commit,
        commits=tuple(commits[:MOST]),
        more_commits=max(0, len(commits) - MOST),
        files=tuple(files[:MOST]),
        more_files=max(0, len(files) - MOST),
        stages=stages,
        libraries=libraries,
        packages=_packages(old, new, notes),
        notes=tuple(notes),
    )


def _history(old: Record, new: Record, notes: list[str]) -> tuple[list[Commit], list[File]]:
    missing = [record.name for record in (old, new) if not record.commit]
    if missing:
        notes.append(f"the commit is not recorded for {' and '.join(missing)}")
    for record in (old, new):
        if record.tags.get(DIRTY) == "true":
            notes.append(f"{record.name} was trained with changes that were not committed")
    if missing or old.commit == new.commit:
        return [], []
    for record in (old, new):
        commit = record.commit or ""
        if not HASH.fullmatch(commit) or _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
            notes.append(f"commit {commit[:12]} of {record.name} is not in this repository; `git fetch` may bring it")
            return [], []
    commits = [*_log(old, new, True), *_log(new, old, False)]
    listed = (_git("diff", "--name-status", "-z", "--relative", f"{old.commit}", f"{new.commit}", "--") or "").split(
        "\0"
    )
    return commits, list(_files(iter(listed)))


def _log(old: Record, new: Record, of_new: bool) -> Iterator[Commit]:
    form = "--format=%h%x1f%as%x1f%an%x1f%s"
    for line in (_git("log", form, f"{old.commit}..{new.commit}", "--") or "").splitlines():
        commit, date, author, subject = line.split("\x1f", 3)
        yield Commit(commit, date, author, subject, of_new)


def _files(listed: Iterator[str]) -> Iterator[File]:
    for status in listed:
        if status:
            path = next(listed)
            if status[0] in "RC":
                path = f"{path} → {next(listed)}"
            yield File(path, STATUS.get(status[0], "changed"))


def _stages(old: Record, new: Record, notes: list[str]) -> tuple[tuple[Version, ...], tuple[Version, ...]]:
    before, after = (
        {} if (lock := each.files.get(LOCK)) is None else _code_of(lock, each.recipe) for each in (old, new)
    )
    if missing := [each.name for each, found in ((old, before), (new, after)) if not found]:
        notes.append(f"the versions of the stages' code are not recorded for {' and '.join(missing)}")
        return (), ()
    stages, libraries = [], {}
    for stage in dict.fromkeys((*after, *before)):
        one, other = before.get(stage), after.get(stage)
        if one == other:
            continue
        first, second = _content(old, stage, one), _content(new, stage, other)
        told = _told(first, one), _told(second, other)
        if told[0] != told[1]:
            stages.append(Version(stage, *told))
        pairs = (first or {}).get("libraries", {}), (second or {}).get("libraries", {})
        for name in dict.fromkeys((*pairs[1], *pairs[0])):
            if first and second and pairs[0].get(name) != pairs[1].get(name):
                libraries[name] = Version(name, pairs[0].get(name), pairs[1].get(name))
    return tuple(stages), tuple(libraries.values())


def _code_of(lock: Path, recipe: str) -> dict[str, str]:
    """Stage → MD5 of its code's file in dvc.lock."""
    found = {}
    for address, stage in (read_yaml(lock).get("stages") or {}).items():
        name, _, of = address.partition("@")
        for dep in stage.get("deps", ()):
            if of == recipe and dep.get("path") == f"{FOLDER}/{name}.json" and "md5" in dep:
                found[name] = str(dep["md5"])
    return found


def _content(record: Record, stage: str, digest: str | None) -> dict[str, Any] | None:
    """data/code/<stage>.json with this MD5, from DVC's cache or the working folder."""
    places = [FOLDER / f"{stage}.json"]
    if record.objects is not None and digest:
        places.insert(0, object_path(record.objects, digest))
    for path in places:
        if path.is_file() and md5(content := path.read_bytes(), usedforsecurity=False).hexdigest() == digest:
            return dict(json.loads(content))
    return None


def _told(content: dict[str, Any] | None, digest: str | None) -> str | None:
    if digest is None:
        return None
    if content is None:
        return f"unknown ({digest[:8]})"
    return f"version {content['version']}" if "version" in content else f"unlisted code {content.get('code', '')[:8]}"


def _packages(old: Record, new: Record, notes: list[str]) -> tuple[Version, ...]:
    texts = [each.read_text(ENVIRONMENT) or each.environment for each in (old, new)]
    if missing := [each.name for each, text in zip((old, new), texts, strict=True) if text is None]:
        notes.append(f"the packages are not recorded for {' and '.join(missing)}")
        return ()
    before, after = (dict(PIN.findall(text or "")) for text in texts)
    names = sorted({*before, *after}, key=str.lower)
    return tuple(
        Version(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _git(*arguments: str) -> str | None:
    """The output of git; None if it fails, in a folder without a repository, say, or without git."""
    try:
        output = git("-c", "core.quotepath=off", *arguments, seconds=LONGEST)
    except GristmillError:
        return None
    return None if output is None else output.decode("utf-8", "replace")
