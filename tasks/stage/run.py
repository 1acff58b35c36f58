"""Run one stage, `python -m tasks.<stage> <recipe>`: read declared inputs, rename declared outputs into place.

A stage's `__main__` declares the stage and runs it:

    STAGE = Stage("clean", clean, inputs=("valid",), outputs=("clean",), report="clean/report.json")

    if __name__ == "__main__":
        main(STAGE)

The work function takes a `Job`, reads `job.input(...)`, writes `job.output(...)` and returns a `Report`. When it
returns, the new outputs replace the old ones; when it raises, the old ones stay.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tasks.stage.errors import EXIT_STOPPED, EXIT_USER, DataError, GristmillError
from tasks.stage.inputs import Snapshot
from tasks.stage.machine import refusal
from tasks.stage.parent import end_with_parent
from tasks.stage.redact import redact_all
from tasks.stage.runtime import keep_loopback_direct, outcome_file, switch_off_telemetry
from tasks.stage.settings import recipe_path

DATA = Path("data")


@dataclass
class Drop:
    """Documents dropped for one reason, with a few examples (an id and the measured value)."""

    reason: str
    documents: int
    examples: list[str] = field(default_factory=list)
    bytes: int = 0
    """Size of their texts and targets, where known."""


@dataclass
class Report:
    """What came in, what went out, what was dropped and why. Depends on the inputs only: no clock, host or path."""

    received: dict[str, int] = field(default_factory=dict)
    produced: dict[str, int] = field(default_factory=dict)
    dropped: list[Drop] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One stage running on one recipe; all paths are relative to the project root."""

    stage: "Stage"
    recipe: str

    @property
    def folder(self) -> Path:
        """All data of this recipe: `data/<recipe>`."""
        return DATA / self.recipe

    @property
    def partial(self) -> Path:
        """Where outputs are written until complete; on the same file system, so that they can be renamed into place."""
        return self.folder / f".partial-{self.stage.name}"

    def input(self, name: str) -> Path:
        """The path of a declared input. Raises DataError if an earlier stage has not written it."""
        if name not in self.stage.inputs:
            raise KeyError(f"{name} is not a declared input of {self.stage.name}")
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path}: not found; run the earlier stages: dvc repro {self.stage.name}@{self.recipe}")
        return path

    def output(self, name: str) -> Path:
        """Where to write a declared output; its parent folder exists, the output does not."""
        if name not in self.stage.outputs:
            raise KeyError(f"{name} is not a declared output of {self.stage.name}")
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, text: str) -> None:
        """Print a status line; never part of a result."""
        print(f"{self.stage.name}: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Stage:
    """A stage's name, its work function, and its inputs and outputs under `data/<recipe>/`."""

    name: str
    work: Callable[[Job], Report]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    report: str
    """Path of the report: an output, or a file inside one."""


def run(stage: Stage, recipe: str) -> Report:
    """Run a stage and move its outputs into place. Raises GristmillError for errors the user can fix."""
    recipe_path(recipe)
    job = Job(stage, recipe)
    try:
        _remove(job.partial)
        job.partial.mkdir(parents=True)
        before = Snapshot(stage.name, recipe)
        report = stage.work(job)
        written = job.partial / stage.report
        written.parent.mkdir(parents=True, exist_ok=True)
        write_json(written, redact_all({"stage": stage.name, **asdict(report)}))
        before.require_unchanged()
        for name in stage.outputs:
            _move(job.partial / name, job.folder / name)
    except Exception as error:
        if (sentence := refusal(error)) is not None:
            raise GristmillError(f"{job.folder}: {sentence}; nothing was changed") from error
        raise
    finally:
        _remove(job.partial)
    return report


def checkpoints_of(recipe: str, identity: str) -> Path:
    """A training run's folder: checkpoints, live record, timing. Not an output: it depends on clock and machine."""
    return DATA / recipe / "checkpoints" / identity


def main(stage: Stage, arguments: Sequence[str] | None = None) -> NoReturn:
    """A stage's command line: exits with 0, or prints one sentence and exits with the error's code."""
    command_line(stage.name, lambda recipe: run(stage, recipe), arguments)


def command_line(name: str, work: Callable[[str], object], arguments: Sequence[str] | None = None) -> NoReturn:
    """`python -m tasks.<name> RECIPE` for any work on a recipe, a stage or not; see `main`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"usage: python -m tasks.{name} RECIPE", file=sys.stderr)
        sys.exit(EXIT_USER)
    end(name, lambda: work(arguments[0]), arguments[0])


def end(name: str, work: Callable[[], object], where: str) -> NoReturn:
    """Do a stage's work, then exit: with 0, or with one sentence and the error's code; a flow tells the sentence."""
    end_with_parent()
    switch_off_telemetry()
    keep_loopback_direct()
    began = time.monotonic()
    code, sentence, speaker = 0, None, ""
    try:
        work()
    except KeyboardInterrupt as stop:
        notes = getattr(stop, "__notes__", [])
        place = [note for note in notes if note.startswith("at ")][:1]
        goes_on = [note for note in notes if "goes on" in note] or ["the next run starts this stage again"]
        code, sentence, speaker = EXIT_STOPPED, f"{' '.join(['stopped', *place])}; {goes_on[0]}", f"{name}: "
    except GristmillError as error:
        code, sentence = error.exit_code, str(error)
    except Exception as error:
        if (sentence := refusal(error)) is None:
            raise
        code, sentence = EXIT_USER, f"{where}: {sentence}"
    if sentence is not None and outcome_file() is None:
        print(f"{speaker}{sentence}", file=sys.stderr, flush=True)
    _tell_outcome(name, code, sentence, time.monotonic() - began)
    if code == EXIT_STOPPED:
        os._exit(code)  # at once: torch and MLflow take seconds to leave, and nothing is left to write
    sys.exit(code)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and diffs: indented, UTF-8, keys in insertion order, a newline at the end."""
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n", encoding="utf-8")


def _tell_outcome(stage: str, code: int, sentence: str | None, seconds: float) -> None:
    if (path := outcome_file()) is not None:
        outcome = {"stage": stage, "exit_code": code, "error": sentence, "seconds": round(seconds, 3)}
        path.write_text(json.dumps(outcome), encoding="utf-8")


def _move(new: Path, place: Path) -> None:
    if not new.exists():
        raise FileNotFoundError(f"the stage did not write its output {new}")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():  # only outside DVC, which removes outputs first
        old = new.with_name(f"{new.name}.old")
        place.rename(old)
    new.rename(place)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
