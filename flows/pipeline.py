"""The flow of `gristmill run shakespeare`: all stages in graph order, then register; `dvc status` is clean after it."""

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.api import end_killed, reachable_api, told_if_lost
from flows.events import emit
from flows.graph import ALWAYS, CODE, Node, changes, fill_cache, read_graph
from flows.progress import stream_above_bar, working
from flows.recipes import check
from flows.runner import StageFailed, crash, run_watched
from flows.stage import as_task, ask_dvc, place_of_run
from flows.stop import stoppable
from flows.summary import Row, Summary, cell, figure, read_metrics, read_registration
from flows.temporary import TemporaryServer
from flows.workspace import BusyWorkspace, claim
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError
from tasks.tracking.client import EMBEDDED, run_page

_READY: ContextVar[list[Node] | None] = ContextVar("nodes", default=None)
"""The graph that `run` has just read; None if a worker calls the flow directly."""

_RECORD = "the record in MLflow is incomplete"


def run(recipe: str, starting: TemporaryServer | None = None, nodes: list[Node] | None = None) -> Summary:
    """Run the flow once, on the configured Prefect server or a temporary one, which may be `starting` already.

    `nodes` is the graph of the recipe, if the caller has just checked and read it.
    Raises GristmillError for errors that the user can fix: StageFailed for a failed stage.
    """
    ready = _READY.set(nodes or _read(recipe))  # report errors in the recipe before a server starts
    try:
        with reachable_api(starting), console(), tags(recipe):
            state: State[Any] = gristmill(recipe, return_state=True)
            summary = result_of(state)
    finally:
        _READY.reset(ready)
    assert isinstance(summary, Summary)
    return summary


@contextmanager
def console() -> Iterator[None]:
    """Prefect's log on the terminal: above the bar, and without the outcome, which the caller tells.

    If nobody reads it any more, as after `| head`, the run ends as if its terminal was closed.
    """

    def passes(record: logging.LogRecord) -> bool:
        told = record.getMessage()
        if told.startswith("Task run failed with state"):
            return "Retry" in told
        return not told.startswith(("Finished in state Failed", "Finished in state RecordIncomplete", _RECORD))

    def end() -> None:
        for handler in handlers:
            handler.console.file = nowhere
        os.kill(os.getpid(), signal.SIGHUP)

    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, PrefectConsoleHandler)]
    for handler in handlers:
        handler.addFilter(passes)
    streams = [handler.console.file for handler in handlers]
    with Path(os.devnull).open("w") as nowhere:
        try:
            for handler in handlers:
                handler.console.file = stream_above_bar(handler.console.file)
                handler.console.on_broken_pipe = end  # type: ignore[method-assign]
            yield
        finally:
            for handler, stream in zip(handlers, streams, strict=True):
                handler.console.file = stream
                handler.removeFilter(passes)


def _name() -> str:
    """The recipe and the time, so that runs can be told apart."""
    return f"{flow_run.parameters['recipe']} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"


@flow(name="gristmill", flow_run_name=_name, persist_result=False)
def gristmill(recipe: str = "shakespeare") -> State[Any]:
    """From raw text to a registered model: run each stage that DVC finds changed, then register.

    Args:
        recipe: the name of a file in recipes/, without .yaml
    """
    logger = get_run_logger()
    began = time.monotonic()
    try:
        nodes = _READY.get() or _read(recipe)
        bases = [node.recipe for node in nodes if node.recipe]
        mine = str(flow_run.id)
        with stoppable(again=True), told_if_lost(), claim(recipe, bases, logger.info, mine) as before:
            for dead in end_killed(before):
                logger.warning("flow run %s was killed: it is now marked as crashed", dead)
            rows, states = _run_stages(recipe, nodes)
            registration, warning = _register(recipe, list(states.values()))
            _require_clean(nodes)
            took = round(time.monotonic() - began, 1)
            summary = Summary(recipe, place_of_run(), rows, read_metrics(recipe), registration, warning, took)
            _publish(summary)
    except BusyWorkspace as busy:
        return Cancelled(message=f"skipped: {busy}", data=busy)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    except KeyboardInterrupt as stop:
        return Cancelled(message=str(stop), data=stop)
    if warning is not None:
        logger.warning(warning)
        return Completed(name="RecordIncomplete", message=warning, data=summary)
    ran = sum(row.happened == "ran" for row in rows)
    return Completed(message=f"{ran} of {len(rows)} stages ran", data=summary)


def _read(recipe: str) -> list[Node]:
    check(recipe)
    return read_graph(recipe)


def _stale(addresses: Sequence[str]) -> dict[str, str]:
    """What DVC would run and why, once its cache has unchanged outputs back that it lost or that are damaged there."""
    stale = changes(addresses)
    if stale and (kept := fill_cache(list(stale))):
        get_run_logger().info("re-added lost outputs to DVC's cache: %s", ", ".join(kept))
        stale = changes(addresses)
    return stale


def _run_stages(recipe: str, nodes: Sequence[Node]) -> tuple[list[Row], dict[str, State[Any]]]:
    """Run all stages in order, one at a time. Raises StageFailed for the first that fails."""
    addresses = [node.address for node in nodes]
    stale = _stale(addresses)
    rows: list[Row] = []
    states: dict[str, State[Any]] = {}
    touched: set[str] = set()
    for number, node in enumerate(nodes, 1):
        unchanged = node.address not in stale and touched.isdisjoint(node.upstream)
        needs = [states[address] for address in node.upstream]
        state = as_task(ask_dvc, node.address)(
            node, unchanged, f"stage {number} of {len(nodes)}", wait_for=needs, return_state=True
        )
        row = result_of(state)
        rows.append(row)
        states[node.address] = state
        if node.address == CODE and row.happened != "unchanged":
            stale = changes(addresses)  # the new code may do the same as the old
        elif row.happened != "unchanged":
            touched.add(node.address)
    return rows, states


def _register(recipe: str, needs: list[State[Any]]) -> tuple[dict[str, Any], str | None]:
    """The registration, and a warning if the MLflow record is incomplete. Raises StageFailed."""
    state = as_task(register, f"register@{recipe}")(recipe, wait_for=needs, return_state=True)
    try:
        return result_of(state), None
    except StageFailed as error:
        if error.exit_code != EXIT_TRANSIENT:
            raise
        warning = (
            f"{_RECORD} ({error.sentence}); "
            f"run `gristmill run {recipe}` again when MLflow is reachable: no stage will rerun"
        )
        return {}, warning


def register(recipe: str) -> State[Any]:
    """Register the model in MLflow, unless it is registered. Not a DVC stage, because DVC would skip it."""
    logger = get_run_logger()
    address = f"register@{recipe}"
    try:
        with working(address, logger.info) as hear:
            code, lines = run_watched("register", address, "tasks.register", [recipe], hear, place_of_run())
        if code != 0:
            raise crash(address, code, lines)
        emit(recipe)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    except KeyboardInterrupt as stop:
        return Cancelled(message=str(stop), data=stop)
    return Completed(data=read_registration(recipe))


def result_of(state: State[Any]) -> Any:
    """The data of a final state. Raises it if it is an exception."""
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _require_clean(nodes: Sequence[Node]) -> None:
    """After a flow DVC has nothing to do. Raises GristmillError with the changed stages and why they changed."""
    stale = _stale([node.address for node in nodes])
    if reasons := "; ".join(f"{address} ({reason})" for address, reason in stale.items() if reason != ALWAYS):
        raise GristmillError(f"dvc status: files changed while the flow ran: {reasons}; run it again")


def _publish(summary: Summary) -> None:
    lines = [f"# {summary.recipe}", "", "| metric | value |", "|---|---|"]
    lines += [f"| {name} | {cell(figure(value))} |" for name, value in summary.metrics.items()]
    lines += ["", "| stage | | seconds |", "|---|---|---|"]
    lines += [f"| {row.address} | {row.happened} | {row.seconds:.1f} |" for row in summary.rows]
    told = dict(summary.registration)
    warnings = [*told.pop("warnings", ()), *filter(None, [summary.warning])]
    lines += ["", *_registration(told)]
    lines += [line for warning in warnings for line in ("", f"**Warning: {warning}**")]
    create_markdown_artifact("\n".join(lines), key=f"{summary.recipe}-metrics", description="Final metrics")


def _registration(found: dict[str, Any]) -> Iterator[str]:
    """A list with a link to the run in MLflow: on its server, or where `make ui` serves the embedded record."""
    for name, value in found.items():
        if name == "run_id" and "experiment_id" in found:
            page = found.get("url") or run_page(EMBEDDED, found["experiment_id"], value)
            yield f"- {name}: [{value}]({page})" + ("" if "url" in found else ", while `make ui` runs")
        elif name not in ("url", "verdict"):  # the reason has its figures
            yield f"- {name}: {cell(str(value))}"
