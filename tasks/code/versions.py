"""`tasks/code.yaml`, which lists the known code of each stage, and the files that stages depend on.

    train: {version: 1, code: {656a…: the first, 7421…: "the same bytes, and every changed line ran"}}

Code with any of the listed hashes has this version; other code is identified by its hash.
"""

import re
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from tasks.stage.code import FOLDER, ROOT, hash_stage
from tasks.stage.errors import GristmillError
from tasks.stage.run import write_json
from tasks.stage.settings import Section, read_yaml, validate

LISTED = Path("tasks/code.yaml")
LOCK = Path("requirements.lock")
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", re.MULTILINE)


class Known(Section):
    """A version of a stage's code, and the hashes of all code that gives its bytes, each with the reason."""

    version: int
    code: dict[str, str]


def write_versions() -> None:
    """Write `data/code/<stage>.json` for every stage. Raises GristmillError for a damaged list or lock."""
    found = find_versions()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for stage, content in found.items():
        write_json(FOLDER / f"{stage}.json", content)


def find_versions() -> dict[str, dict[str, Any]]:
    """The content of `data/code/<stage>.json` for the code as it is now. Raises as `write_versions`."""
    listed, pins = read_listed(), _pins()
    found = {}
    for stage in stages():
        code, known = hash_stage(stage), listed.get(stage)
        version = {"version": known.version} if known is not None and code in known.code else {"code": code}
        found[stage] = {**version, "libraries": _libraries(stage, pins)}
    return found


def stages() -> list[str]:
    """The stages of DVC: the packages that declare LIBRARIES."""
    rooms = sorted(path.parent.name for path in ROOT.glob("tasks/*/__main__.py"))
    return [room for room in rooms if hasattr(import_module(f"tasks.{room}"), "LIBRARIES")]


def read_listed(root: Path = ROOT) -> dict[str, Known]:
    """The known code by stage. Raises RecipeError if the list is invalid."""
    path = root / LISTED
    return {name: validate(Known, entry, path, prefix=name) for name, entry in read_yaml(path).items()}


def _libraries(stage: str, pins: dict[str, str]) -> dict[str, str]:
    """The locked version of each library that the stage declares, and the installed one if it differs."""
    found = {}
    for library in import_module(f"tasks.{stage}").LIBRARIES:
        name = _normal(library)
        if name not in pins:
            raise GristmillError(f"{LOCK}: {library} is missing, but tasks/{stage}/__init__.py lists it in LIBRARIES")
        found[library] = pins[name]
        installed = _installed(library)
        if installed != pins[name]:
            found[library] = f"{installed or 'not'} installed, {pins[name]} locked"
            print(f"code: {library} {found[library]}; `make setup` installs the locked version", file=sys.stderr)
    return found


def _installed(library: str) -> str | None:
    """The installed version without torch's build suffix: 2.13.0 for 2.13.0+cpu."""
    try:
        return metadata.version(library).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _pins() -> dict[str, str]:
    if not LOCK.is_file():
        raise GristmillError(f"{LOCK}: not found; `make lock` writes it")
    return {_normal(name): version for name, version in PIN.findall(LOCK.read_text(encoding="utf-8"))}


def _normal(name: str) -> str:
    """Normalized as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
