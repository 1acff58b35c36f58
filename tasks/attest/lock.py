"""The stages behind a model as dvc.lock tells them, held against the files: every file is hashed here.

DVC notes MD5 for a file, and for a folder the MD5 of its listing. The same bytes are read once for that and for the
SHA-256 that statements hold.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tasks.changes.record import cached_files
from tasks.register.results import LOCK
from tasks.stage.errors import DataError
from tasks.stage.settings import read_yaml

IGNORED = Path(".dvcignore")
CACHE = Path(".dvc/cache/files/md5")
"""Where DVC keeps the listings of folders, unless it is configured otherwise; used to name the file that differs."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file and its hashes, in hex."""

    path: str
    sha256: str
    md5: str
    size: int


@dataclass(frozen=True)
class Link:
    """A stage in the chain: what it read, what it wrote, with what settings."""

    address: str
    """`train@shakespeare`, or `code`."""
    command: str
    parameters: Mapping[str, Any]
    """By file: the sections of the recipe that the stage reads."""
    inputs: tuple[File, ...]
    outputs: tuple[File, ...]
    noted: Mapping[str, Mapping[str, str]]
    """`deps` and `outs` of dvc.lock: path → MD5."""
    producers: Mapping[str, str] = field(default_factory=dict)
    """Input → the address of the stage that wrote it; sources have none."""


def read_chain(recipe: str) -> list[Link]:
    """All stages that lead to the evaluation of a recipe's model, the first ones first.

    Raises DataError for a stage that dvc.lock lacks, and for a file or a setting that differs from it.
    """
    stages = (read_yaml(LOCK).get("stages") or {}) if LOCK.is_file() else {}
    owners = {out["path"]: address for address, stage in stages.items() for out in stage.get("outs") or ()}
    files = _Files()
    chain: dict[str, Link] = {}

    def follow(address: str) -> None:
        if address in chain:
            return
        if address not in stages:
            raise DataError(f"{LOCK}: knows no stage {address}; run `gristmill run {recipe}`")
        stage = stages[address]
        made_by = {}
        for item in stage.get("deps") or ():
            if (owner := _owner(item["path"], owners)) is not None:
                made_by[item["path"]] = owner
                follow(owner)
        chain[address] = _link(address, stage, made_by, files)

    follow(f"evaluate@{recipe}")
    return list(chain.values())


def _owner(path: str, owners: Mapping[str, str]) -> str | None:
    """The stage whose output is this path, or a folder around it."""
    around = (path, *(parent.as_posix() for parent in Path(path).parents))
    return next((owners[each] for each in around if each in owners), None)


def _link(address: str, stage: Mapping[str, Any], made_by: Mapping[str, str], files: "_Files") -> Link:
    parameters = stage.get("params") or {}
    for path, sections in parameters.items():
        content = read_yaml(Path(path)) if Path(path).is_file() else {}
        for key, value in sections.items():
            if _section(content, key) != value:
                raise DataError(f"{path}: {key}: differs from {LOCK} ({address}); {_way_out(address)}")
    inputs: list[File] = []
    producers: dict[str, str] = {}
    for item in stage.get("deps") or ():
        found = files.read(address, item, tracked=item["path"] in made_by)
        inputs += found
        if item["path"] in made_by:
            producers |= dict.fromkeys((file.path for file in found), made_by[item["path"]])
    outputs = [file for item in stage.get("outs") or () for file in files.read(address, item, tracked=True)]
    noted = {kind: {item["path"]: item["md5"] for item in stage.get(kind) or ()} for kind in ("deps", "outs")}
    return Link(
        address, str(stage.get("cmd", "")), parameters, tuple(inputs), tuple(sorted(outputs, key=lambda f: f.path)),
        noted, producers,
    )  # fmt: skip


class _Files:
    """Hashes files once, and holds them against dvc.lock."""

    def __init__(self) -> None:
        self._hashed: dict[str, File] = {}
        self._ignored = IGNORED.read_text(encoding="utf-8").split() if IGNORED.is_file() else []

    def read(self, address: str, item: Mapping[str, Any], tracked: bool) -> list[File]:
        """The files of an input or output in dvc.lock. Raises DataError if they are not as noted there.

        `tracked`: whether DVC's cache has them, because a stage wrote them.
        """
        path, noted = Path(item["path"]), item.get("md5")
        back = f"`dvc checkout {path}` puts it back, else {_way_out(address)}" if tracked else _way_out(address)
        if not isinstance(noted, str):
            raise DataError(f"{LOCK}: {path} ({address}): has no md5; run `dvc commit {address}`")
        if not path.exists():
            raise DataError(f"{path}: missing, but {LOCK} ({address}) has it; {back}")
        if not noted.endswith(".dir"):
            found = [self._hash(path)] if path.is_file() else []
            same = bool(found) and found[0].md5 == noted
        else:
            found = [self._hash(each) for each in sorted(self._walk(path))]
            listing = [{"md5": file.md5, "relpath": Path(file.path).relative_to(path).as_posix()} for file in found]
            text = json.dumps(sorted(listing, key=lambda entry: entry["relpath"]), sort_keys=True)  # as DVC writes it
            same = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() == noted.removesuffix(".dir")
        if not same:
            culprit = _culprit(path, found, noted)
            raise DataError(f"{culprit}: differs from {LOCK} ({address}); {back}")
        return found

    def _hash(self, path: Path) -> File:
        name = path.as_posix()
        if name not in self._hashed:
            md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    md5.update(chunk)
                    sha256.update(chunk)
                    size += len(chunk)
            self._hashed[name] = File(name, sha256.hexdigest(), md5.hexdigest(), size)
        return self._hashed[name]

    def _walk(self, root: Path) -> Iterator[Path]:
        for folder, folders, files in os.walk(root, followlinks=True):
            folders[:] = [name for name in folders if not self._is_ignored(name)]
            yield from (Path(folder, name) for name in files if not self._is_ignored(name))

    def _is_ignored(self, name: str) -> bool:
        return any(fnmatch(name, pattern.rstrip("/")) for pattern in self._ignored)


def _culprit(path: Path, found: list[File], noted: str) -> str:
    """The file that differs, if DVC's cache has the listing of its folder; else the folder."""
    if not noted.endswith(".dir"):
        return path.as_posix()
    listed = cached_files(CACHE, noted)
    if not listed:
        return path.as_posix()
    wanted = {f"{path.as_posix()}/{name}": "".join(place.parts[-2:]) for name, place in listed.items()}
    there = {file.path: file.md5 for file in found}
    return next((name for name in sorted(wanted | there) if wanted.get(name) != there.get(name)), path.as_posix())


def _way_out(address: str) -> str:
    recipe = address.partition("@")[2]
    return f"run `gristmill run {recipe}`" if recipe else f"run `dvc repro {address}`"


def _section(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content
