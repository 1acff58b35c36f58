"""Whether the record of a recipe is whole, known without MLflow: to import it takes longer than all that DVC does.

The register reads files and the record, and nothing else. Where both are still as its last run left them, another run
would change nothing. `data/<recipe>/recorded.json` keeps a hash of each:

files    the recipes, dvc.yaml and dvc.lock, what the training noted, `registration.json`, our code, the installed
         packages, the address of the record; DVC alone can say that the outputs are those of dvc.lock
record   what MLflow holds of the recipe: its runs with all their points, the models with their files, the versions and
         aliases; read with the standard library, by `database` or by `server`

Anything else means "not known": another hash, a store of a kind that nobody here can read, a setting that nobody here
knows, no answer. Then the register itself has to run.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.register.place import Place, find_place
from tasks.register.promotion import CHALLENGER, CHAMPION
from tasks.stage.code import ROOT
from tasks.stage.identity import fingerprint, hash_file
from tasks.stage.run import DATA, write_json
from tasks.stage.settings import RECIPES

PROJECT = ("dvc.yaml", "dvc.lock")
NOTES = ("registration.json", "checkpoints/*/record.jsonl", "checkpoints/*/timing.json")
"""Under data/<recipe>/: what the register reads and DVC does not know."""


def registration_path(recipe: str) -> Path:
    """What was registered and why, for people and for the flow; no output of DVC."""
    return DATA / recipe / "registration.json"


def files_are_known(recipe: str) -> bool:
    """Whether nothing that the register reads has changed since its last run, outputs of DVC left out."""
    place = find_place()
    return place is not None and _read(recipe).get("files") == _files(recipe, place)


def whole(recipe: str) -> dict[str, Any] | None:
    """The registration, where the record is whole; None where that is not known.

    Means nothing unless DVC finds no stage of the recipe changed.
    """
    place = find_place()
    known = _read(recipe)
    if place is None or not known or known.get("files") != _files(recipe, place):
        return None
    registration = json.loads(registration_path(recipe).read_text(encoding="utf-8"))
    found = place.read(recipe, registration)
    if found is None or fingerprint(found) != known.get("record"):
        return None
    return {**registration, "new": False}


def remember(recipe: str, registration: dict[str, Any]) -> None:
    """Note files and record as the register left them; nothing is noted where `whole` could not read them."""
    path = _path(recipe)
    path.unlink(missing_ok=True)
    place = find_place()
    found = place.read(recipe, registration) if place is not None else None
    if place is None or found is None or not _agree(found["aliases"], registration):
        return
    partial = path.with_name(f".partial-{path.name}")
    write_json(partial, {"files": _files(recipe, place), "record": fingerprint(found)})
    partial.replace(path)


def tell(registration: dict[str, Any]) -> None:
    """What became of a model, in a line for whoever watches."""
    found = "registered" if registration["new"] else "already registered"
    print(
        f"register: {found} as version {registration['version']} of {registration['model']},"
        f" {registration['alias']}: {registration['reason']}",
        file=sys.stderr,
        flush=True,
    )


def _agree(aliases: dict[str, int], registration: dict[str, Any]) -> bool:
    """Whether nobody else moved an alias since the register set it."""
    own = registration["version"] == aliases.get(registration["alias"])
    return own and registration["champion"] == aliases.get(CHAMPION) and registration["alias"] in (CHAMPION, CHALLENGER)


def _path(recipe: str) -> Path:
    return DATA / recipe / "recorded.json"


def _read(recipe: str) -> dict[str, Any]:
    try:
        return dict(json.loads(_path(recipe).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _files(recipe: str, place: Place) -> str:
    """A hash of all that the register reads outside the record."""
    folder = DATA / recipe
    notes = [path for pattern in NOTES for path in folder.glob(pattern)]
    files = [*RECIPES.glob("*.yaml"), *(Path(name) for name in PROJECT), *notes]
    return fingerprint(
        {
            "files": {path.as_posix(): hash_file(path) for path in files if path.is_file()},
            "code": {path.relative_to(ROOT).as_posix(): hash_file(path) for path in (ROOT / "tasks").rglob("*.py")},
            "packages": sorted(_packages()),
            "place": place.uri,
        }
    )


def _packages() -> Iterator[str]:
    """Python's version, and name and version of each installed package, as its folder is called.

    The folders of the project are left out: they are in the path of `python -m flows`, but not in that of `gristmill`.
    """
    yield sys.version
    for folder in set(sys.path) - {"", str(Path.cwd()), str(ROOT)}:
        yield from (path.name for path in Path(folder).glob("*.dist-info"))
