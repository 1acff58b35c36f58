"""A clean work tree of a run's commit in a temporary folder, with what the run kept beside it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.register.reproduction import Recorded
from tasks.stage.errors import GristmillError
from tasks.stage.scratch import scratch
from tasks.tracking.commit import git
from tasks.tracking.provenance import FILES, PATCH

PATIENCE = 600
"""Seconds for git."""


@contextmanager
def place_for(keep: bool) -> Iterator[Path]:
    """A folder for the length of a block, or for good."""
    if keep:
        yield Path(tempfile.mkdtemp(prefix="gristmill-kept-"))
    else:
        with scratch("reproduce") as folder:
            yield folder


def make_tree(recorded: Recorded, place: Path) -> Path:
    """Check out the commit into a new folder, apply the kept changes, and put recipe and graph there as recorded.

    Returns the project's folder in it. Raises GristmillError if this repository does not have the commit.
    """
    try:
        root = git("rev-parse", "--show-toplevel")
        there = root and git("cat-file", "-t", f"{recorded.commit}^{{commit}}")
    except GristmillError as error:
        if "Not a valid object name" in str(error) or "could not get object info" in str(error):
            there = None
        else:
            raise
    if not there:
        raise GristmillError(
            f"{recorded.name}: its commit {recorded.commit[:12]} is not in this repository; run `git fetch`, or go to "
            "the project that made the run"
        )
    git("clone", "--shared", "--no-checkout", "--quiet", (root or b"").decode().strip(), str(place), seconds=PATIENCE)
    git("checkout", "--detach", "--quiet", recorded.commit, folder=place, seconds=PATIENCE)
    folder = recorded.provenance.folder if recorded.provenance else (git("rev-parse", "--show-prefix") or b"").decode()
    project = place / folder.strip().rstrip("/")
    kept = recorded.folder / "provenance"
    if (patch := kept / PATCH).is_file():
        inside = [f"--directory={folder}"] if folder else []
        try:
            git(
                "apply",
                "--binary",
                "--whitespace=nowarn",
                *inside,
                str(patch.resolve()),
                folder=place,
                seconds=PATIENCE,
            )
        except GristmillError as error:
            raise GristmillError(f"{recorded.name}: the changes kept with its run do not apply: {error}") from error
    for source_file in sorted((kept / FILES).rglob("*")):
        if source_file.is_file():
            _put(source_file, project / source_file.relative_to(kept / FILES))
    for name in ("dvc.yaml", "dvc.lock"):
        if (recorded.folder / name).is_file():
            _put(recorded.folder / name, project / name)
    for recipe in sorted((recorded.folder / "recipes").glob("*.yaml")):
        _put(recipe, project / "recipes" / recipe.name)
    return project


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
