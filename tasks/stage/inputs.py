"""Inputs that are saved while a stage runs: DVC would note the new ones next to outputs that were made from the old.

So a stage takes a `Snapshot` of its entry in dvc.yaml before its work and compares after it, whoever runs it.
"""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tasks.stage.errors import DataError, RecipeError
from tasks.stage.identity import hash_file
from tasks.stage.settings import read_yaml

GRAPH = Path("dvc.yaml")
IGNORED = Path(".dvcignore")
HASHED = 256 << 20
"""Bytes hashed beforehand, the smallest files first. Of other files, size, time and inode count, as for DVC."""

Stamp = tuple[int, int, int]


class Snapshot:
    """A stage's dependencies and its sections of the recipe as they are now; empty without an entry in dvc.yaml."""

    def __init__(self, stage: str, recipe: str = "") -> None:
        self._stage = stage
        self._deps, self._params = _entry(stage, recipe)
        self._values = self._read_params()
        self._stamps = self._stat()
        self._hashes: dict[Path, str | None] = {}
        spent = 0
        for path, (size, *_) in sorted(self._stamps.items(), key=lambda item: item[1]):
            if (spent := spent + size) > HASHED:
                break
            self._hashes[path] = _hash(path)

    def require_unchanged(self) -> None:
        """Raises DataError if a file or a section has another content now."""
        stamps, values = self._stat(), self._read_params()
        found = [
            str(path) for path in sorted(self._stamps.keys() | stamps.keys())
            if self._stamps.get(path) != stamps.get(path)
            and (path not in stamps or path not in self._hashes or self._hashes[path] != _hash(path))
        ]  # fmt: skip
        found += [key for key, value in self._values.items() if values[key] != value]
        if found:
            others = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise DataError(
                f"{', '.join(found[:3])}{others}: changed while {self._stage} ran, so its outputs are discarded; "
                "run it again"
            )

    def _stat(self) -> dict[Path, Stamp]:
        return {file: stamp for path in self._deps for file in _files(path) if (stamp := _stamp(file))}

    def _read_params(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path, keys in self._params.items():
            try:
                content: Any = read_yaml(Path(path))
            except (RecipeError, OSError):  # gone, or saved halfway: not what it was
                content = {}
            found |= {f"{path}: {key}": repr(_section(content, key)) for key in keys}
        return found


def _entry(stage: str, recipe: str) -> tuple[list[Path], dict[str, list[str]]]:
    """The dependencies of a stage, and by file the sections that it reads."""
    graph = read_yaml(GRAPH) if GRAPH.is_file() else {}
    entry = _section(graph, f"stages.{stage}") or {}
    entry = entry.get("do", entry)
    items = [found["recipes"] for found in graph.get("vars") or [] if isinstance(found, dict) and "recipes" in found]
    item = _section(items[0], recipe) if items else None

    def filled(text: str) -> str:
        text = text.replace("${key}", recipe)
        return re.sub(r"\$\{item\.(\w+)\}", lambda match: str(_section(item, match[1])), text)

    params = [found for found in entry.get("params") or [] if isinstance(found, dict)]
    deps = [Path(filled(dep)) for dep in entry.get("deps") or [] if isinstance(dep, str)]
    return deps, {filled(path): keys or [] for found in params for path, keys in found.items()}


def _section(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    ignored = IGNORED.read_text(encoding="utf-8").split() if IGNORED.is_file() else []
    for folder, folders, files in os.walk(path, followlinks=True):
        folders[:] = [name for name in folders if not _matches(name, ignored)]
        yield from (Path(folder, name) for name in files if not _matches(name, ignored))


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern.rstrip("/")) for pattern in patterns)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
