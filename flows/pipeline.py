"""The flow, `gristmill run shakespeare`: the stages in the order of the graph, the register, a clean `dvc status`."""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.api import reachable_api
from flows.graph import CODE, Node, changes, fill_cache, read_graph
from flows.recipes import check
from flows.runner import StageFailed, crash, run_watched
from flows.stage import as_task, ask_dvc, place_of_run
from flows.summary import Row, Summary, figure, read_metrics, read_registration
from flows.temporary import TemporaryServer
from flows.workspace import claim
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError

_READY: ContextVar[list[Node] | None] = ContextVar("nodes", default=None)
"""The graph of the recipe where it was read just before: a worker calls the flow by itself, `run` reads it first."""


def run(recipe: str, starting: TemporaryServer | None = None, nodes: list[Node] | None = None) -> Summary:
    """One run of the flow, on the configured Prefect server or a temporary one, which may be `starting` already.

    `nodes` is the graph of the recipe where the caller has just checked and read it.
    Raises GristmillError (StageFailed where a stage failed) for what the user can mend.
    """
    ready = _READY.set(nodes or _read(recipe))  # what is wrong with it is told before there is a server
    try:
        with reachable_api(starting):
            state: State[Any] = gristmill(recipe, return_state=True)
            outcome = state.result(raise_on_failure=False)
    finally:
        _READY.reset(ready)
    if isinstance(outcome, BaseException):
        raise outcome
    assert isinstance(outcome, Summary)
    return outcome


@flow(name="gristmill", flow_run_name="{recipe}", persist_result=False)
def gristmill(recipe: str = "shakespeare") -> State[Any]:
    """From raw text to a registered model: each stage of the recipe that DVC finds changed, then the register.

    Args:
        recipe: the name of a file in recipes/, without its ending
    """
    logger = get_run_logger()
    began = time.monotonic()
    try:
        nodes = _READY.get() or _read(recipe)
        with claim(recipe, [node.recipe for node in nodes if node.recipe], logger.info):
            rows, states = _run_stages(recipe, nodes)
            registration, warning = _register(recipe, list(states.values()))
            _require_clean(nodes)
            metrics = read_metrics(recipe)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    summary = Summary(recipe, place_of_run(), rows, metrics, registration, warning, round(time.monotonic() - began, 1))
    _publish(summary)
    if warning is not None:
        logger.warning(warning)
        return Completed(name="RecordIncomplete", message=warning, data=summary)
    ran = sum(row.happened == "ran" for row in rows)
    return Completed(message=f"{ran} of {len(rows)} stages ran", data=summary)


def _read(recipe: str) -> list[Node]:
    """The graph of a recipe without errors."""
    check(recipe)
    return read_graph(recipe)


def _run_stages(recipe: str, nodes: Sequence[Node]) -> tuple[list[Row], dict[str, State[Any]]]:
    """All stages in order, one at a time. Raises StageFailed for the first that fails."""
    addresses = [node.address for node in nodes]
    stale = changes(addresses)
    if stale and (kept := fill_cache(list(stale))):
        get_run_logger().info("DVC's cache had lost what is here; it is in it again: %s", ", ".join(kept))
        stale = changes(addresses)
    rows: list[Row] = []
    states: dict[str, State[Any]] = {}
    touched: set[str] = set()
    for node in nodes:
        unchanged = node.address not in stale and touched.isdisjoint(node.upstream)
        stage = as_task(ask_dvc, node.stage, node.address, node.recipe)
        state = stage(node, unchanged, wait_for=[states[address] for address in node.upstream], return_state=True)
        row = _result(state)
        rows.append(row)
        states[node.address] = state
        if node.address == CODE and row.happened != "unchanged":
            stale = changes(addresses)  # a change in the code may have changed nothing that it does
        elif row.happened != "unchanged":
            touched.add(node.address)
    return rows, states


def _register(recipe: str, needs: list[State[Any]]) -> tuple[dict[str, Any], str | None]:
    """What the register wrote down, and a warning where the record has to be completed later. Raises StageFailed."""
    task = as_task(register, "register", f"register@{recipe}", recipe)
    state = task(recipe, wait_for=needs, return_state=True)
    try:
        return _result(state), None
    except StageFailed as error:
        if error.exit_code != EXIT_TRANSIENT:
            raise
        warning = (
            f"the record in MLflow is incomplete ({error.sentence}); "
            f"run `gristmill run {recipe}` again when it can be reached: no stage will run again"
        )
        return {}, warning


def register(recipe: str) -> State[Any]:
    """Register the model in MLflow; not a stage of DVC, which would skip it. Does nothing where it is registered."""
    logger = get_run_logger()
    address = f"register@{recipe}"
    try:
        code, outcome, lines = run_watched("register", address, "tasks.register", [recipe], logger.info, place_of_run())
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    if code != 0:
        told = outcome is not None and outcome["exit_code"] != 0
        failure = StageFailed(address, outcome["error"], code) if told and outcome else crash(address, code, lines)
        return Failed(message=str(failure), data=failure)
    return Completed(data=read_registration(recipe))


def _result(state: State[Any]) -> Any:
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _require_clean(nodes: Sequence[Node]) -> None:
    """The promise of a flow: DVC has nothing to do after it. Raises GristmillError with what is changed and why."""
    if stale := changes([node.address for node in nodes]):
        reasons = "; ".join(f"{address} ({reason})" for address, reason in stale.items())
        raise GristmillError(f"dvc status: changed while the flow ran: {reasons}; run it again")


def _publish(summary: Summary) -> None:
    """The page of a run in Prefect: metrics, stages, and where the record is."""
    lines = [f"# {summary.recipe}", "", "| metric | value |", "|---|---|"]
    lines += [f"| {name} | {figure(value)} |" for name, value in summary.metrics.items()]
    lines += ["", "| stage | | seconds |", "|---|---|---|"]
    lines += [f"| {row.address} | {row.happened} | {row.seconds:.1f} |" for row in summary.rows]
    lines += ["", *(f"- {name}: {value}" for name, value in summary.registration.items())]
    if summary.warning:
        lines += ["", f"**{summary.warning}**"]
    create_markdown_artifact("\n".join(lines), key=f"{summary.recipe}-metrics", description="Final metrics")
