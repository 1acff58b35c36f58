"""What the stages import from outside of `tasks`: other modules of this project, and modules that no lock brings back.

Parses the source and imports nothing.
"""

import ast
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

from tasks.stage.code import OURS, ROOT, import_closure
from tasks.stage.settings import read_yaml

GRAPH = Path("dvc.yaml")


@dataclass
class Imports:
    """The files of the project that its stages are made of, and the modules that come from elsewhere."""

    files: set[Path] = field(default_factory=set)
    """Relative to the project."""
    foreign: list[str] = field(default_factory=list)
    """A sentence for each module that is neither of the project nor of a locked package."""


def find_imports(pins: set[str]) -> Imports:
    """Follow the imports of all stages of this project; `pins`: the locked packages, normalized as in PEP 503."""
    found = Imports()
    rooms = [path.parent.name for path in sorted((ROOT / "tasks").glob("*/__main__.py"))]
    graph = read_yaml(GRAPH).get("stages") if GRAPH.is_file() else None
    stages = [room for room in rooms if room in (graph or {})] or rooms
    ours = {path for stage in stages for path in import_closure(f"tasks.{stage}.__main__", ROOT)}
    ours |= {path.relative_to(ROOT) for stage in stages for path in (ROOT / "tasks" / stage).rglob("*.py")}
    found.files |= ours
    pending, seen, owners = sorted(ROOT / path for path in ours), set[str](), _Owners(pins)
    while pending:
        path = pending.pop()
        for name in sorted(_names(path.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top in OURS or top in sys.stdlib_module_names or name in seen:
                continue
            local = [file for file in _local_files(name) if file not in found.files]
            found.files.update(local)
            pending += [ROOT / file for file in local]
            if top not in seen and (told := owners.complain(top)) is not None:
                found.foreign.append(f"{path.relative_to(ROOT)} imports {told}")
            seen |= {name, top}
    return found


@cache
def _names(source: str) -> frozenset[str]:
    """The full names of all modules that a file's text imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return frozenset(found)


def _local_files(module: str) -> list[Path]:
    """The files of a module at the root of the project, with the packages around it; none if it is not there."""
    parts = module.split(".")
    place = ROOT.joinpath(*parts)
    own = next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)
    if own is None:
        return []
    around = (ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts)))
    return [file.relative_to(ROOT) for file in (own, *around) if file.is_file()]


class _Owners:
    """Where modules come from: the project, the packages of a lock, or elsewhere."""

    def __init__(self, pins: set[str]) -> None:
        self._pins = pins
        self._packages = _distributions() if pins else {}

    def complain(self, top: str) -> str | None:
        """Why the lock cannot bring a module back; None if it can, or the module is of the project or not there."""
        if (ROOT / f"{top}.py").is_file() or (ROOT / top).is_dir():
            return None
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            return None
        place = None if spec is None else _place(spec)
        if place is None:
            return None
        if not any(place.is_relative_to(folder) for folder in _installed()):
            return f"{top} from {place}, outside of this project"
        owners = [re.sub(r"[-_.]+", "-", owner).lower() for owner in self._packages.get(top, ())]
        if owners and self._pins.isdisjoint(owners):
            return f"{top}, which is installed but not in requirements.lock"
        return None


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _place(spec: ModuleSpec) -> Path | None:
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places else None  # built in: None


@cache
def _installed() -> tuple[Path, ...]:
    """The folders of Python's own modules and of installed packages."""
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    on_path = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    return tuple({Path(place).resolve() for place in (*named, *on_path)})
