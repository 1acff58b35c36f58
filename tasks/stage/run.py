"""The run of one stage, `python -m tasks.<stage> <recipe>`: declared inputs in, declared outputs renamed into place.

A stage's `__main__` says what it is and hands it over:

    STAGE = Stage("clean", clean, inputs=("valid",), outputs=("clean",), report="clean/report.json")

    if __name__ == "__main__":
        main(STAGE)

Its work is a function of a `Job`. It reads `job.input(...)`, writes `job.output(...)`, and returns a `Report`; when it
returns, the outputs take their places, and when it raises, whatever stood there before still stands.
"""

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tasks.stage.errors import EXIT_USER, DataError, GristmillError
from tasks.stage.parent import end_with_parent
from tasks.stage.runtime import outcome_file, switch_off_telemetry
from tasks.stage.settings import recipe_path

DATA = Path("data")
DISK = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
}


@dataclass
class Drop:
    """Documents that did not come out, for one reason, with a few examples (an id and what was measured)."""

    reason: str
    documents: int
    examples: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of their texts and targets, where that is known."""


@dataclass
class Report:
    """What came in, what went out, what was dropped and why. The same for the same inputs: no clock, host or path."""

    received: dict[str, int] = field(default_factory=dict)
    produced: dict[str, int] = field(default_factory=dict)
    dropped: list[Drop] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One stage at work on one recipe; all its paths are relative to the project's root."""

    stage: "Stage"
    recipe: str

    @property
    def folder(self) -> Path:
        """Everything of this recipe: `data/<recipe>`."""
        return DATA / self.recipe

    @property
    def partial(self) -> Path:
        """Where outputs grow until they are whole; on the same file system, so that a rename puts them in place."""
        return self.folder / f".partial-{self.stage.name}"

    def input(self, name: str) -> Path:
        """A declared input that is there. Raises DataError where an earlier stage has not made it."""
        if name not in self.stage.inputs:
            raise KeyError(f"{name} is not among the declared inputs of {self.stage.name}")
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path}: not there; an earlier stage makes it: dvc repro {self.stage.name}@{self.recipe}")
        return path

    def output(self, name: str) -> Path:
        """Where to write a declared output; its parent exists, it does not."""
        if name not in self.stage.outputs:
            raise KeyError(f"{name} is not among the declared outputs of {self.stage.name}")
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, text: str) -> None:
        """A line for whoever watches; never part of a result."""
        print(f"{self.stage.name}: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Stage:
    """What a stage is: its name, its work, and its inputs and outputs under `data/<recipe>/`."""

    name: str
    work: Callable[[Job], Report]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    report: str
    """The report's place: an output itself, or a file in one."""


def run(stage: Stage, recipe: str) -> Report:
    """Do the work of a stage and put its outputs in place. Raises GristmillError for what the user can mend."""
    recipe_path(recipe)
    job = Job(stage, recipe)
    try:
        _remove(job.partial)
        job.partial.mkdir(parents=True)
        report = stage.work(job)
        written = job.partial / stage.report
        written.parent.mkdir(parents=True, exist_ok=True)
        write_json(written, {"stage": stage.name, **asdict(report)})
        for name in stage.outputs:
            _move(job.partial / name, job.folder / name)
    except Exception as error:
        if (sentence := _disk_trouble(error)) is not None:
            raise GristmillError(f"{job.folder}: {sentence}; nothing was changed") from error
        raise
    finally:
        _remove(job.partial)
    return report


def checkpoints_of(recipe: str, identity: str) -> Path:
    """The folder of a training: checkpoints, the live record, the times. Not an output: it knows clock and machine."""
    return DATA / recipe / "checkpoints" / identity


def main(stage: Stage, arguments: Sequence[str] | None = None) -> NoReturn:
    """The command line of a stage: exit code 0, or one clear sentence and the exit code of the error."""
    command_line(stage.name, lambda recipe: run(stage, recipe), arguments)


def command_line(name: str, work: Callable[[str], object], arguments: Sequence[str] | None = None) -> NoReturn:
    """`python -m tasks.<name> RECIPE` for any work on a recipe, a stage or not: see `main`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"usage: python -m tasks.{name} RECIPE", file=sys.stderr)
        sys.exit(EXIT_USER)
    end_with_parent()
    switch_off_telemetry()
    began = time.monotonic()
    code, sentence = 0, None
    try:
        work(arguments[0])
    except GristmillError as error:
        code, sentence = error.exit_code, str(error)
        print(sentence, file=sys.stderr, flush=True)
    _tell_outcome(name, code, sentence, time.monotonic() - began)
    sys.exit(code)


def write_json(path: Path, value: Any) -> None:
    """JSON for people and for diffs: indented, UTF-8, keys in their order, a newline at the end."""
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n", encoding="utf-8")


def _tell_outcome(stage: str, code: int, sentence: str | None, seconds: float) -> None:
    if (path := outcome_file()) is not None:
        outcome = {"stage": stage, "exit_code": code, "error": sentence, "seconds": round(seconds, 3)}
        path.write_text(json.dumps(outcome), encoding="utf-8")


def _move(new: Path, place: Path) -> None:
    if not new.exists():
        raise FileNotFoundError(f"the stage did not write its output {new}")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():  # only where DVC did not run the stage: DVC removes outputs first
        old = new.with_name(f"{new.name}.old")
        place.rename(old)
    new.rename(place)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _disk_trouble(error: BaseException | None) -> str | None:
    """A sentence where an error comes from the disk, however deep and in whatever library's words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK:
            where = f" ({os.fspath(error.filename)})" if error.filename else ""
            return DISK[error.errno] + where
        if "No space left on device" in str(error) or f"os error {errno.ENOSPC})" in str(error):
            return DISK[errno.ENOSPC]
        error = error.__cause__ or error.__context__
    return None
