"""`gristmill reproduce RUN`: the whole, in order."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from flows.graph import CODE, opened
from flows.reproduce.curve import judge_steps, recorded_rows
from flows.reproduce.environment import beside, find_python
from flows.reproduce.execute import Bench, machine_of, no_record
from flows.reproduce.inputs import Inputs
from flows.reproduce.judge import Judge, Verdict, cannot_tell
from flows.reproduce.store import Store
from flows.reproduce.tree import make_tree, place_for
from tasks.register.reproduction import Entry, Recorded, read_recorded
from tasks.stage.errors import GristmillError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    run: str
    stages: tuple[str, ...] = ()
    """Only these; empty for all."""
    start: str | None = None
    """From this stage on."""
    steps: int | None = None
    """Only the first steps of the training."""
    tolerance: float | None = None
    keep: bool = False


@dataclass(frozen=True)
class Reproduction:
    """What was found."""

    recorded: Recorded
    verdicts: list[Verdict]
    notes: list[str]
    whole: bool
    """Whether all stages ran to their ends."""
    kept: Path | None
    began: float


def reproduce(asked: Asked, say: Say) -> Reproduction:
    """Rebuild a run and compare every output with its recorded hash; removes all that it made unless asked to keep it.

    Raises GristmillError for a run that is unknown, or that this project cannot rebuild.
    """
    began = time.time()
    if asked.stages and asked.start is not None:
        raise GristmillError("--stages and --from: give one of them")
    with opened() as repo, place_for(asked.keep) as place, no_record() as quiet:
        recorded = read_recorded(asked.run, place / "recorded")
        store = Store(repo, say)
        entries = choose(recorded, asked)
        rows = []
        if asked.steps is not None:
            rows = recorded_rows(recorded, entries[0], store, place, asked.steps)
        say(f"{recorded.name}: run {recorded.run_id}, {_sources(recorded)}")
        tree = make_tree(recorded, place / "tree")
        notes = _notes(recorded)
        made = place / "made"
        inputs = Inputs(recorded, store, tree, place, made)
        judge = Judge(recorded, store, place, asked.tolerance)
        try:
            python = find_python(tree, say)
            bench = Bench(tree, python, quiet, place / "outcome.json")
            if CODE in recorded.stages:
                bench.run(recorded.stages[CODE].command, CODE, say)
        except GristmillError as error:
            verdicts = [cannot_tell(entry, error) for entry in entries]
        else:
            notes += _packages(recorded, bench)
            verdicts = []
            for number, entry in enumerate(entries, 1):
                say(f"stage {number} of {len(entries)}: {entry.address}")
                try:
                    about = inputs.place(entry)
                    if asked.steps is not None:
                        verdict = judge_steps(recorded, entry, bench, rows, say)
                    else:
                        more = machine_of(recorded) if entry.stage == "train" else {}
                        seconds = bench.run(entry.command, entry.address, say, **more)
                        verdict = judge.judge(entry, tree, made)
                        verdict.seconds = seconds
                    verdict.notes = about + verdict.notes
                except GristmillError as error:
                    verdict = cannot_tell(entry, error)
                verdicts.append(verdict)
        whole = asked.steps is None and len(entries) == len(recorded.own())
        return Reproduction(recorded, verdicts, notes, whole, place if asked.keep else None, began)


def choose(recorded: Recorded, asked: Asked) -> list[Entry]:
    """The stages that are asked for, in order. Raises GristmillError for one that the run does not have."""
    entries = in_order(recorded.own())
    names = [entry.stage for entry in entries]
    if asked.steps is not None:
        if asked.stages not in ((), ("train",)) or asked.start not in (None, "train"):
            raise GristmillError("--steps: only a training has steps; leave --stages and --from out")
        asked_for: Sequence[str] = ["train"]
    else:
        asked_for = [asked.start] if asked.start is not None else asked.stages
    for name in asked_for:
        if name not in names:
            raise GristmillError(f"{recorded.name}: its run has no stage {name!r} (available: {', '.join(names)})")
    if asked.steps is None and asked.start is not None:
        return entries[names.index(asked.start) :]
    return [entry for entry in entries if not asked_for or entry.stage in asked_for]


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Stages after all whose outputs they read. Raises GristmillError for a circle."""
    makers = {out.path: entry.address for entry in entries for out in entry.outs}
    needs = {
        entry.address: {
            maker for dep in entry.deps for path, maker in makers.items()
            if Path(dep.path).is_relative_to(path) or Path(path).is_relative_to(dep.path)
        } - {entry.address}
        for entry in entries
    }  # fmt: skip
    by_address = {entry.address: entry for entry in entries}
    try:
        return [by_address[address] for address in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise GristmillError(f"dvc.lock of the run: its stages form a circle: {', '.join(error.args[1])}") from error


def _sources(recorded: Recorded) -> str:
    kept = recorded.provenance
    parts = [f"commit {recorded.commit[:12]}"]
    if kept is not None and kept.changed:
        parts.append(f"changes to {len(kept.changed)} of its files")
    if kept is not None and kept.untracked:
        parts.append(f"{len(kept.untracked)} files that git does not know")
    return ", ".join(parts)


def _notes(recorded: Recorded) -> list[str]:
    kept = recorded.provenance
    if kept is None:
        return ["the run is of an older Gristmill, which kept no changes that were not committed"]
    return [f"the run was not expected to be rebuilt: {reason}" for reason in kept.reasons]


def _packages(recorded: Recorded, bench: Bench) -> list[str]:
    import sys

    if bench.python != Path(sys.executable):
        return []
    others = beside(recorded.folder / "environment/requirements.txt")
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return [f"packages differ from those of the run: {', '.join(others[:3])}{more}"] if others else []
