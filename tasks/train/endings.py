"""How a training on more than one device ends: what its ranks leave, and which of them has the last word."""

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from tasks.stage.errors import EXIT_STOPPED, EXIT_TRANSIENT, GristmillError, TransientError
from tasks.stage.run import Report

REPORT = "report.json"
"""Rank 0's, in the folder of the ranks."""
LOST = "lost"
"""In a rank's outcome: it only noticed that another one had ended."""
WORDS = 40
"""Lines that a rank leaves which ended without a sentence."""


def write_report(folder: Path, report: Report) -> None:
    """Rank 0 hands the stage its report."""
    value: dict[str, Any] = asdict(report)
    (folder / REPORT).write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def explain(
    folder: Path,
    codes: Mapping[int, int],
    ranks: int,
    place: str,
    words: Mapping[int, Path | None],
    other: Exception | None = None,
) -> NoReturn:
    """Raise what ended the ranks: a sentence of one, else a signal that one got, else what it said last.

    `codes`: the exit codes of the ranks that ended, negative for a signal; `words`: their stderr, if it was not shown;
    `ranks`: how many there are; `place`: where those are that are not here; `other`: what the launcher knows, if none
    of that.
    """
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != REPORT]
    told = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for outcome in told:
        if outcome["error"] and not outcome["error"].startswith(LOST):
            _raise(outcome["exit_code"], outcome["error"])
    for rank, code in codes.items():
        if code < 0 and -code != signal.SIGTERM:
            raise GristmillError(
                f"rank {rank} of {ranks} was killed ({signal.Signals(-code).name}), and the training ended with it; if "
                "memory ran out, use fewer processes or train.shard: full; the next run goes on from the last "
                "checkpoint"
            )
    for rank, code in codes.items():
        if code not in (0, EXIT_TRANSIENT, -signal.SIGTERM, 128 + signal.SIGTERM):
            path = words[rank]
            if path is not None:
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                print(*lines[-WORDS:], sep="\n", file=sys.stderr, flush=True)
            raise RuntimeError(f"rank {rank} ended with exit code {code}")
    if other is not None and not told:
        raise other
    raise TransientError(
        f"GRISTMILL_LAUNCH: the connection to {place} was lost; look there for the reason; the next run goes on from "
        "the last checkpoint"
    ) from other


def _raise(code: int, sentence: str) -> NoReturn:
    if code == EXIT_STOPPED:
        stop(sentence)
    raise (TransientError if code == EXIT_TRANSIENT else GristmillError)(sentence)


def stop(sentence: str) -> NoReturn:
    """Ctrl-C: `sentence` is rank 0's, `stopped at … ; … goes on …`, whose parts `tasks.stage.run.end` puts together."""
    stop = KeyboardInterrupt()
    place, _, goes_on = sentence.removeprefix("stopped").partition("; ")
    for note in (place.strip(), goes_on):
        if note:
            stop.add_note(note)
    raise stop
