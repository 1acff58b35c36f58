"""Runs one stage through DVC in its own process and reports what happened, for flows and commands alike."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flows.graph import Node, discard_all_damaged_listings, discard_damaged_of, restore
from flows.launch import TookTooLong, launch
from flows.progress import seconds_between_lines, working
from flows.stop import stopped_at
from flows.summary import Happened, Row
from tasks.stage.errors import EXIT_TRANSIENT, EXIT_USER, GristmillError
from tasks.stage.redact import redact
from tasks.stage.runtime import timeout

BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
"""DVC 3.67's messages while another DVC process holds a lock."""

HINTS = (
    "ERROR: failed to reproduce",
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.",
    "Use `dvc push`",
)
"""Prefixes of DVC's lines that are left out of logs: hints for interactive use, and failures, which we tell."""

OUT_OF_MEMORY = ("SIGKILL", "SIGABRT")
"""How a process ends for which the kernel or a library finds no memory."""

OUTCOMES = ".dvc/tmp/gristmill"
"""One file per address in this workspace: a flow that is killed leaves nothing that grows."""

TAIL = 200
"""Last lines of output kept to find the cause of a failure."""


class StageFailed(GristmillError):
    """A stage failed; the message is `address: sentence`."""

    def __init__(self, address: str, sentence: str, exit_code: int) -> None:
        super().__init__(f"{address}: {sentence}")
        self.address, self.sentence, self.exit_code = address, redact(sentence), exit_code

    def __reduce__(self) -> Any:
        return type(self), (self.address, self.sentence, self.exit_code)


def reproduce(node: Node, say: Callable[[str], None], flow_run: str = "", place: str = "") -> Row:
    """Let DVC run a stage if it is stale; `place` is shown before its address: `stage 3 of 8`.

    Restores the last good outputs and raises StageFailed if it fails.
    """
    began = time.monotonic()
    if not node.runs:
        restore(node, say)
        if missing := [out for out in node.outs if not Path(out).exists()]:
            sentence = "DVC does not run it (it is frozen, or has no command), and its cache lacks"
            raise StageFailed(node.address, f"{sentence} {', '.join(missing)}; `dvc pull`, or unfreeze it", EXIT_USER)
    try:
        with working(": ".join(filter(None, (place, node.address))), say) as hear:
            happened = _ask_despite_damage(node, hear, flow_run)
    except BaseException:
        try:
            restore(node, say)
        except GristmillError as trouble:
            say(f"could not restore the outputs of the last good run ({trouble}); run `dvc checkout`")
        raise
    return Row(node.address, happened, round(time.monotonic() - began, 1))


def _ask_despite_damage(node: Node, say: Callable[[str], None], flow_run: str) -> Happened:
    """`ask`, and again once damaged objects of DVC's cache are discarded."""
    try:
        happened = ask(node, say, flow_run)
    except StageFailed as error:
        if error.exit_code != 1 or not discard_all_damaged_listings():
            raise
        happened = ask(node, say, flow_run)  # DVC itself had failed, over a listing of an earlier run
    if (happened == "restored" or _linked(node)) and (damaged := discard_damaged_of(node)):
        say(f"DVC's cache had damaged copies of {', '.join(damaged)}: discarded, and the stage runs again")
        happened = ask(node, say, flow_run)
    return happened


def _linked(node: Node) -> bool:
    """Whether an output is a link into the cache, where DVC prefers an old object to what the stage has written."""
    files = (file for out in node.outs for file in [Path(out), *Path(out).rglob("*")])
    return any(file.is_symlink() or (file.is_file() and file.stat().st_nlink > 1) for file in files)


def ask(
    node: Node,
    say: Callable[[str], None],
    flow_run: str = "",
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> Happened:
    """Let DVC run a stage if it is stale, in this folder or another; see `run_watched`. Raises StageFailed."""
    arguments = ["--wait-for-lock", "repro", "--single-item", node.address]
    code, lines = run_watched(node.stage, node.address, "dvc", arguments, say, flow_run, folder, more)
    if code == 0:
        if any(line.endswith("is cached - skipping run, checking out outputs") for line in lines):
            return "restored"
        return "unchanged" if any(line.endswith("didn't change, skipping") for line in lines) else "ran"
    text = "\n".join(lines)
    if any(sign in text for sign in BUSY):
        raise StageFailed(node.address, "another DVC process is running in this folder", EXIT_TRANSIENT)
    found = re.search(r"ERROR: .*exited with (-?\d+)", text)
    if found or code < 0:
        raise crash(node.address, int(found[1]) if found else code, lines)
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    raise StageFailed(node.address, errors[-1] if errors else f"DVC exited with code {code}", 1)


def run_watched(
    stage: str,
    address: str,
    module: str,
    arguments: list[str],
    say: Callable[[str], None],
    flow_run: str = "",
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> tuple[int, list[str]]:
    """Run a program for a stage; returns its exit code and last lines.

    `flow_run` is the URL or id of the flow run; `folder` its working directory (default: this one), `more` its own
    environment variables; `watch` is called while it runs. Raises StageFailed on timeout, or if the stage reported a
    failure.
    """
    lines: list[str] = []

    def hear(line: str) -> None:
        if not line.strip().startswith(HINTS):
            say(line)
        lines.append(line)
        del lines[:-TAIL]

    told = Path(folder or Path(), OUTCOMES, f"{address}.json").absolute()
    told.parent.mkdir(parents=True, exist_ok=True)
    told.unlink(missing_ok=True)
    environment = {"GRISTMILL_OUTCOME": str(told), "GRISTMILL_FLOW_RUN": flow_run, **(more or {})}
    try:
        code = launch(module, arguments, hear, timeout(stage), environment | seconds_between_lines(), folder, watch)
    except TookTooLong as error:
        variable = f"GRISTMILL_TIMEOUT_{stage.upper()}"
        variable = variable if os.environ.get(variable) else "GRISTMILL_TIMEOUT"
        raise StageFailed(address, f"{error} ({variable})", error.exit_code) from error
    except KeyboardInterrupt as stop:
        where = _outcome(told).get("error") or "stopped; the next run starts this stage again"
        raise stopped_at(getattr(stop, "number", signal.SIGINT), f"{address}: {where}") from None
    if (outcome := _outcome(told)) and outcome["exit_code"] != 0:
        raise StageFailed(address, outcome["error"] or "failed", outcome["exit_code"])
    return code, lines


def _outcome(told: Path) -> dict[str, Any]:
    return dict(json.loads(told.read_text(encoding="utf-8"))) if told.is_file() else {}


def crash(address: str, code: int, lines: list[str]) -> StageFailed:
    """A stage that ended without reporting an outcome: a bug, or a signal from outside."""
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        hint = "; if nobody did that, memory ran out: use fewer workers (GRISTMILL_WORKERS=1) or smaller batches"
        return StageFailed(address, f"was killed by {name}{hint if name in OUT_OF_MEMORY else ''}", 1)
    last = next((line for line in reversed(lines) if not line.startswith("ERROR: failed to reproduce")), "no output")
    return StageFailed(address, f"exited with code {code}; last line: {last.strip()}", 1)
