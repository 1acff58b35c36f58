"""Detects a complete record without importing MLflow, which takes longer than everything that DVC does.

Register reads files and the record, nothing else. If neither has changed since its last run, another run would change
nothing. `data/<recipe>/recorded.json` keeps a hash of each:

files    the recipes, dvc.yaml, dvc.lock, the training's journal and timing, `registration.json`, our code, installed
         packages, the URI of the record; that outputs match dvc.lock is for DVC to say
record   MLflow's data of the recipe: runs with all their points, models with their files, versions and aliases; read
         with the standard library by `database` or `server`

Anything else means "unknown" (another hash, an unsupported store, an unknown setting, no answer), and register runs.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.register.place import find_place, read_place
from tasks.register.promotion import CHALLENGER, CHAMPION
from tasks.stage.code import ROOT
from tasks.stage.identity import fingerprint, hash_file
from tasks.stage.run import DATA, write_json
from tasks.stage.settings import RECIPES

PROJECT = ("dvc.yaml", "dvc.lock")
NOTES = ("registration.json", "speed.json", "checkpoints/*/record.jsonl", "checkpoints/*/timing.json")
"""Files under data/<recipe>/ that register reads and DVC does not track."""


def registration_path(recipe: str) -> Path:
    """`registration.json`: what was registered and why. Not a DVC output."""
    return DATA / recipe / "registration.json"


def files_are_known(recipe: str) -> bool:
    """Whether no file that register reads has changed since its last run, DVC's outputs aside."""
    place = find_place()
    return place is not None and _read(recipe).get("files") == _files(recipe, place)


def whole(recipe: str) -> dict[str, Any] | None:
    """The registration if the record is complete; None if that is unknown.

    Valid only if DVC finds no stage of the recipe changed.
    """
    place, known = find_place(), _read(recipe)
    if place is None or known.get("files") != _files(recipe, place):
        return None
    registration = json.loads(registration_path(recipe).read_text(encoding="utf-8"))
    found = read_place(place, recipe, registration)
    if found is None or fingerprint(found) != known.get("record"):
        return None
    return {**registration, "new": False}


def remember(recipe: str, registration: dict[str, Any]) -> None:
    """Save hashes of files and record after a registration, unless `whole` could not read them."""
    path, place = _path(recipe), find_place()
    path.unlink(missing_ok=True)
    found = read_place(place, recipe, registration) if place is not None else None
    if place is None or found is None or not _agree(found["aliases"], registration):
        return
    replace_json(path, {"files": _files(recipe, place), "record": fingerprint(found)})


def replace_json(path: Path, value: Any) -> None:
    """Like `write_json`, but atomic."""
    partial = path.with_name(f".partial-{path.name}")
    write_json(partial, value)
    partial.replace(path)


def tell(registration: dict[str, Any]) -> None:
    """Print the registration as one line on stderr, and one per warning about the champion."""
    found = "registered" if registration["new"] else "already registered"
    name = f"version {registration['version']} of {registration['model']}"
    lines = [f"{found} as {name}, {registration['alias'] or 'no alias'}: {registration['reason']}"]
    lines += [f"WARNING: {warning}" for warning in registration.get("warnings", ())]
    for line in lines:
        print(f"register: {line}", file=sys.stderr, flush=True)


def _agree(aliases: dict[str, int], registration: dict[str, Any]) -> bool:
    """Whether the aliases are those that register set or found."""
    alias, version = registration["alias"], registration["version"]
    own = aliases.get(alias) == version if alias else version not in map(aliases.get, (CHAMPION, CHALLENGER))
    return own and registration["champion"] == aliases.get(CHAMPION)


def _path(recipe: str) -> Path:
    return DATA / recipe / "recorded.json"


def _read(recipe: str) -> dict[str, Any]:
    try:
        return dict(json.loads(_path(recipe).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _files(recipe: str, place: str) -> str:
    """A hash of everything that register reads outside the record."""
    folder = DATA / recipe
    notes = [path for pattern in NOTES for path in folder.glob(pattern)]
    files = [*RECIPES.glob("*.yaml"), *(Path(name) for name in PROJECT), *notes]
    return fingerprint(
        {
            "files": {path.as_posix(): hash_file(path) for path in files if path.is_file()},
            "code": {path.relative_to(ROOT).as_posix(): hash_file(path) for path in (ROOT / "tasks").rglob("*.py")},
            "packages": sorted(_packages()),
            "place": place,
        }
    )


def _packages() -> Iterator[str]:
    """Python's version, and the names of all `*.dist-info` folders.

    Other folders of the path change while a process runs: setuptools, for one, adds the packages inside it.
    """
    yield sys.version
    for folder in {Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}:
        yield from (path.name for path in folder.glob("*.dist-info"))
