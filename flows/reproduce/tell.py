"""The verdict on a run: for people, as JSON, as a tag in MLflow, as an exit code."""

import time
from collections.abc import Iterator
from typing import Any

from flows.reproduce.judge import DIFFERENT, SAME, UNKNOWN, WITHIN, Verdict
from flows.reproduce.work import Asked, Reproduction
from tasks.stage.errors import EXIT_TRANSIENT, EXIT_USER
from tasks.stage.progress import duration
from tasks.tracking.record import processor


def lines(found: Reproduction) -> Iterator[str]:
    """A line for each stage, then what is worth knowing about it, and the whole in one sentence."""
    width = max(len(verdict.stage) for verdict in found.verdicts)
    for verdict in found.verdicts:
        took = f"  {duration(verdict.seconds)}" if verdict.seconds else ""
        yield f"{verdict.stage:<{width}}  {verdict.verdict}{took}"
        details = [verdict.sentence, *(f"note: {note}" for note in verdict.notes)]
        details += [f"DAMAGED: {told}" for told in verdict.damaged]
        yield from (f"{'':<{width}}  {told}" for told in details if told)
    yield from (f"note: {note}" for note in found.notes)
    if (then := found.recorded.tags.get("gristmill.processor")) not in (None, processor()):
        yield f"note: the run was made on {then}, this is {processor()}"
    if found.kept is not None:
        yield f"kept: {found.kept} (the work tree is {found.kept / 'tree'}, the outputs are in {found.kept / 'made'})"
    yield f"{found.recorded.name}: {summary(found)}"


def summary(found: Reproduction) -> str:
    """The whole in one sentence, with the date and the processor; a tag of the run."""
    day = time.strftime("%Y-%m-%d", time.gmtime(found.began))
    names = {
        kind: [each.stage for each in found.verdicts if each.verdict == kind] for kind in (DIFFERENT, UNKNOWN, WITHIN)
    }
    parts = [f"{kind}: {', '.join(stages)}" for kind, stages in names.items() if stages]
    if any(verdict.damaged for verdict in found.verdicts):
        parts.append("damaged copies of what was recorded")
    if not parts:
        steps = next((out["steps"] for out in found.verdicts[0].outputs if "steps" in out), None)
        extent = "" if found.whole else f"{', '.join(verdict.stage for verdict in found.verdicts)} "
        parts = [f"train up to step {steps} to the last digit" if steps is not None else f"{extent}byte for byte"]
    return f"{day}, {'; '.join(parts)}, on {processor()}"


def exit_code(found: Reproduction) -> int:
    """0 if all is the same or within a tolerance that was asked for, 1 if not, 2 or 75 if some can only not be told."""
    if any(verdict.verdict == DIFFERENT or verdict.damaged for verdict in found.verdicts):
        return 1
    unknown = [verdict for verdict in found.verdicts if verdict.verdict == UNKNOWN]
    if not unknown:
        return 0
    return EXIT_TRANSIENT if any(verdict.passing for verdict in unknown) else EXIT_USER


def as_json(found: Reproduction, asked: Asked) -> dict[str, Any]:
    """The verdict for the record."""
    return {
        "run": found.recorded.run_id,
        "commit": found.recorded.commit,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.began)),
        "processor": processor(),
        "same": exit_code(found) == 0,
        "whole": found.whole,
        "tolerance": asked.tolerance,
        "steps": asked.steps,
        "summary": summary(found),
        "notes": found.notes,
        "stages": [_stage(verdict) for verdict in found.verdicts],
    }


def _stage(verdict: Verdict) -> dict[str, Any]:
    return {
        "stage": verdict.stage,
        "verdict": verdict.verdict,
        "same": verdict.verdict == SAME,
        "sentence": verdict.sentence,
        "largest": verdict.largest,
        "notes": verdict.notes,
        "damaged": verdict.damaged,
        "outputs": verdict.outputs,
        "seconds": round(verdict.seconds, 1),
    }
