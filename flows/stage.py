"""One stage of DVC as one task of Prefect: DVC decides whether it runs, its lines go to Prefect's log.

Only what may pass by itself is tried again: exit code 75 of a stage (a network, a server) and a busy DVC.
"""

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.tasks import exponential_backoff
from prefect.utilities.urls import url_for

from flows.graph import Node, restore
from flows.launch import TookTooLong, launch
from flows.summary import Happened, Row
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError, TransientError
from tasks.stage.runtime import retries, timeout

BACKOFF = 2.0
"""Seconds before the first new try; each later one waits twice as long, more or less by up to half."""

BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
"""What DVC 3.67 says while another DVC process is at work."""

HINTS = ("To track the changes with git", "git add ", "To enable auto staging", "dvc config core.", "Use `dvc push`")
"""How lines begin with which DVC advises whoever typed its command; a log is better off without them."""

TAIL = 200
"""Last lines of a program that are kept to find out why it failed."""


class StageFailed(GristmillError):
    """A stage failed; the text is its sentence, with its address in front."""

    def __init__(self, address: str, sentence: str, exit_code: int) -> None:
        super().__init__(f"{address}: {sentence}")
        self.address, self.sentence, self.exit_code = address, sentence, exit_code

    def __reduce__(self) -> Any:
        return type(self), (self.address, self.sentence, self.exit_code)


def as_task(work: Callable[..., State], name: str, run_name: str, recipe: str) -> Task[..., Any]:
    """A function as a task that is called by its own name, is never cached by Prefect, and retries what may pass."""
    decorate = task(
        name=name,
        task_run_name=run_name,
        tags=[*filter(None, [recipe]), name],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries(),
        retry_delay_seconds=exponential_backoff(BACKOFF),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_pass,
    )
    return decorate(work)


def ask_dvc(node: Node, unchanged: bool) -> State:
    """Let DVC run a stage if it has to; `unchanged` says that DVC was asked already and has nothing to do.

    The state's data is a Row, or a StageFailed where the stage failed; then its last good outputs are back in place.
    """
    logger = get_run_logger()
    if unchanged:
        return Completed(name="Cached", message="unchanged", data=Row(node.address, "unchanged", 0.0))
    began = time.monotonic()
    try:
        happened = _reproduce(node, logger.info)
    except BaseException as error:
        try:
            if back := restore(node):
                logger.info("the outputs of the last good run are back in place: %s", ", ".join(back))
        except GristmillError as trouble:
            logger.warning("the outputs of the last good run are not back in place (%s); dvc checkout does it", trouble)
        if isinstance(error, GristmillError):
            return Failed(message=str(error), data=error)
        raise
    row = Row(node.address, happened, round(time.monotonic() - began, 1))
    if happened == "unchanged":
        return Completed(name="Cached", message="unchanged", data=row)
    _publish_report(node)
    if happened == "restored":
        return Completed(name="Restored", message="its outputs came from DVC's cache", data=row)
    return Completed(data=row)


def place_of_run() -> str:
    """Where the flow run that is going on can be seen: its URL, or its id where no server is configured."""
    return url_for("flow-run", flow_run.id) or str(flow_run.id)


def run_watched(
    stage: str, address: str, module: str, arguments: list[str], say: Callable[[str], None]
) -> tuple[int, dict[str, Any] | None, list[str]]:
    """Run a program for a stage: its exit code, what the stage told of its end (if it did), and its last lines.

    Raises StageFailed where it took longer than its time-out.
    """
    lines: list[str] = []

    def hear(line: str) -> None:
        if not line.strip().startswith(HINTS):
            say(line)
        lines.append(line)
        del lines[:-TAIL]

    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        told = Path(folder, "outcome.json")
        environment = {"GRISTMILL_OUTCOME": str(told), "GRISTMILL_FLOW_RUN": place_of_run()}
        try:
            code = launch(module, arguments, hear, timeout(stage), environment)
        except TookTooLong as error:
            variable = f"GRISTMILL_TIMEOUT_{stage.upper()}"
            variable = variable if os.environ.get(variable) else "GRISTMILL_TIMEOUT"
            raise StageFailed(address, f"{error} ({variable})", error.exit_code) from error
        outcome = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else None
    return code, outcome, lines


def crash(address: str, code: int, lines: list[str]) -> StageFailed:
    """A stage that ended without telling why: a bug, or a signal from outside."""
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        return StageFailed(address, f"was killed by {name}", 1)
    last = next((line for line in reversed(lines) if not line.startswith("ERROR: failed to reproduce")), "no output")
    return StageFailed(address, f"ended with exit code {code}; its last line: {last.strip()}", 1)


def _reproduce(node: Node, say: Callable[[str], None]) -> Happened:
    arguments = ["--wait-for-lock", "repro", "--single-item", node.address]
    code, outcome, lines = run_watched(node.stage, node.address, "dvc", arguments, say)
    if outcome is not None and outcome["exit_code"] != 0:
        raise StageFailed(node.address, outcome["error"] or "failed", outcome["exit_code"])
    if code == 0:
        if any(line.endswith("is cached - skipping run, checking out outputs") for line in lines):
            return "restored"
        return "unchanged" if any(line.endswith("didn't change, skipping") for line in lines) else "ran"
    text = "\n".join(lines)
    if any(sign in text for sign in BUSY):
        raise StageFailed(node.address, "another DVC process is at work in this folder", EXIT_TRANSIENT)
    if (found := re.search(r"ERROR: .*exited with (-?\d+)", text)) is not None:
        raise crash(node.address, int(found[1]), lines)
    if code < 0:
        raise crash(node.address, code, lines)
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    raise StageFailed(node.address, errors[-1] if errors else f"DVC ended with exit code {code}", 1)


def _may_pass(_task: Any, _task_run: TaskRun, state: State) -> bool:
    error = state.data
    return isinstance(error, TransientError) or (isinstance(error, StageFailed) and error.exit_code == EXIT_TRANSIENT)


def _publish_report(node: Node) -> None:
    """The stage's report.json as a table in Prefect."""
    places = [Path(out) if Path(out).name == "report.json" else Path(out, "report.json") for out in node.outs]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        return
    report = json.loads(place.read_text(encoding="utf-8"))
    rows = [
        {"what": what, "item": item, "count": count, "examples": ""}
        for what in ("received", "produced")
        for item, count in report.get(what, {}).items()
    ]
    rows += [
        {"what": "dropped", "item": drop["reason"], "count": drop["documents"], "examples": "; ".join(drop["examples"])}
        for drop in report.get("dropped", [])
    ]
    key = re.sub(r"[^a-z0-9]+", "-", f"{node.recipe}-{node.stage}-report".lower())
    create_table_artifact(rows, key=key, description=f"What `{node.address}` received, produced and dropped")
