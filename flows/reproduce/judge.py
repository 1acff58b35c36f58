"""The verdict on one stage: its outputs against the recorded hashes, and where they differ, how."""

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.reproduce.differ import find_difference
from flows.reproduce.store import Damaged, Missing, Store, hash_path
from tasks.register.reproduction import Entry, Item, Recorded
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.settings import read_yaml

SAME, WITHIN, DIFFERENT, UNKNOWN = "the same bytes", "within the tolerance", "different", "cannot be told"

PROCESSOR = 1e-3
"""Relative tolerance of numbers in reports, curves and scores that another kind of processor explains. Scoring a model
with AVX2 in place of AVX-512 moved them by 6e-7; a training on another processor adds up its own differences."""

HIDDEN = "it is not the recorded one, and what differs cannot be shown"


@dataclass
class Verdict:
    """What became of a stage."""

    stage: str
    verdict: str
    sentence: str = ""
    """The first difference, or why it cannot be told."""
    notes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Copies of its recorded outputs, in DVC's cache or in this folder, that are not the recorded ones."""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    largest: float | None = None
    """The largest relative difference of two numbers, if nothing but numbers and pictures differs."""
    seconds: float = 0.0
    passing: bool = False
    """Whether a failure may pass by itself."""


@dataclass
class Judge:
    """Compares the outputs of stages."""

    recorded: Recorded
    store: Store
    scratch: Path
    tolerance: float | None

    def judge(self, entry: Entry, tree: Path, made: Path) -> Verdict:
        """The verdict on a stage that has run in `tree`; its outputs are moved into `made`."""
        found = Verdict(entry.stage, SAME)
        differences: list[tuple[str, float]] = []
        for out in entry.outs:
            path = _move(tree / out.path, made / out.path)
            now = hash_path(path) if path.exists() else None
            same = now is not None and now == out.md5
            about = {"path": out.path, "recorded": out.md5, "reproduced": now, "same": same}
            if not same:
                about["difference"], size = self._difference(entry.stage, out, path)
                differences.append((f"{out.path}: {about['difference']}", size))
            found.outputs.append(about)
            found.damaged += self._damaged(out, path)
        if differences:
            self._settle(found, differences)
        return found

    def _settle(self, found: Verdict, differences: list[tuple[str, float]]) -> None:
        differences.sort(key=lambda each: HIDDEN in each[0])  # one that can be shown says more
        largest = max(size for _, size in differences)
        others = [told.partition(":")[0] for told, _ in differences[1:]]
        found.verdict = DIFFERENT
        found.sentence = differences[0][0] + (f"; also {', '.join(others)}" if others else "")
        if not math.isfinite(largest):
            return
        found.largest = largest
        if self.tolerance is not None:
            found.verdict = WITHIN if largest <= self.tolerance else DIFFERENT
        explained = (
            "which another kind of processor explains"
            if largest <= PROCESSOR
            else "more than another kind of processor explains"
        )
        found.sentence += f"; numbers differ by at most {largest:.1e} of themselves, {explained} ({PROCESSOR:g})"

    def _difference(self, stage: str, out: Item, path: Path) -> tuple[str, float]:
        if not path.exists():
            return "it was not made", math.inf
        copy = self.scratch / "recorded-output"
        shutil.rmtree(copy, ignore_errors=True)
        place = copy / Path(out.path).name
        try:
            if out.md5 is None:
                return "dvc.lock has no MD5 of it", math.inf
            self.store.copy(out.md5, place)
        except (Missing, Damaged) as error:
            artifact = self.recorded.artifact(out.path)
            if artifact is None or hash_path(artifact) != out.md5:
                return f"{HIDDEN}: {error}", math.inf
            place = artifact
        difference = find_difference(place, path, weights=0.0 if stage == "train" else math.inf)
        return difference.sentence, difference.largest

    def _damaged(self, out: Item, made: Path) -> list[str]:
        """Copies of an output that are not what they should be; where it was reproduced, with the difference."""
        found = []
        for name in self.store.damaged(out.md5) if out.md5 else ():
            told = f"the copy of {out.path}{f'/{name}' if name else ''} in DVC's cache is damaged"
            if out.md5 is not None and made.exists() and hash_path(made) == out.md5:
                if out.md5.endswith(".dir") and not name:
                    told += " (its list of files)"
                else:
                    file = made / name if name else made
                    copy = self.scratch / f"damaged{file.suffix}"
                    shutil.copyfile(self.store.object(hash_path(file)), copy)
                    told += f": {find_difference(file, copy).sentence}"
            found.append(told)
        here = Path(out.path)
        if here.exists() and out.md5 == _locked_here(out.path) and hash_path(here) != out.md5:
            told = f"{out.path} in this folder is not what dvc.lock says"
            if made.exists() and hash_path(made) == out.md5:
                told += f": {find_difference(made, here).sentence}"
            found.append(told)
        return found


def cannot_tell(entry: Entry, error: GristmillError) -> Verdict:
    """The verdict on a stage that could not run."""
    return Verdict(entry.stage, UNKNOWN, str(error), passing=isinstance(error, TransientError))


def _locked_here(path: str) -> str | None:
    """The hash of an output in this project's own dvc.lock."""
    lock = Path("dvc.lock")
    stages = read_yaml(lock).get("stages") or {} if lock.is_file() else {}
    outs = (out for entry in stages.values() for out in entry.get("outs") or ())
    return next((out.get("md5") for out in outs if out["path"] == path), None)


def _move(path: Path, place: Path) -> Path:
    """Move an output, if it was made, out of the way of the next stage."""
    if path.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    return place
