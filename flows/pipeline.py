"""The flow of `gristmill run shakespeare`: all stages in graph order, then register; `dvc status` is clean after it."""

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
"""The graph that `run` has just read; None if a worker calls the flow directly."""


def run(recipe: str, starting: TemporaryServer | None = None, nodes: list[Node] | None = None) -> Summary:
    """Run the flow once, on the configured Prefect server or a temporary one, which may be `starting` already.

    `nodes` is the graph of the recipe, if the caller has just checked and read it.
    Raises GristmillError for errors that the user can fix: StageFailed for a failed stage.
    """
    ready = _READY.set(nodes or _read(recipe))  # report errors in the recipe before a server starts
    try:
        with reachable_api(starting):
            state: State[Any] = gristmill(recipe, return_state=True)
    finally:
        _READY.reset(ready)
    summary = _result(state)
    assert isinstance(summary, Summary)
    return summary


@flow(name="gristmill", flow_run_name="{recipe}", persist_result=False)
def gristmill(recipe: str = "shakespeare") -> State[Any]:
    """From raw text to a registered model: run each stage that DVC finds changed, then register.

    Args:
        recipe: the name of a file in recipes/, without .yaml
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
    check(recipe)
    return read_graph(recipe)


def _run_stages(recipe: str, nodes: Sequence[Node]) -> tuple[list[Row], dict[str, State[Any]]]:
    """Run all stages in order, one at a time. Raises StageFailed for the first that fails."""
    addresses = [node.address for node in nodes]
    stale = changes(addresses)
    if stale and (kept := fill_cache(list(stale))):
        get_run_logger().info("re-added lost outputs to DVC's cache: %s", ", ".join(kept))
        stale = changes(addresses)
    rows: list[Row] = []
    states: dict[str, State[Any]] = {}
    touched: set[str] = set()
    for node in nodes:
        unchanged = node.address not in stale and touched.isdisjoint(node.upstream)
        needs = [states[address] for address in node.upstream]
        state = as_task(ask_dvc, node.address)(node, unchanged, wait_for=needs, return_state=True)
        row = _result(state)
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
        return _result(state), None
    except StageFailed as error:
        if error.exit_code != EXIT_TRANSIENT:
            raise
        warning = (
            f"the record in MLflow is incomplete ({error.sentence}); "
            f"run `gristmill run {recipe}` again when MLflow is reachable: no stage will rerun"
        )
        return {}, warning


def register(recipe: str) -> State[Any]:
    """Register the model in MLflow, unless it is registered. Not a DVC stage, because DVC would skip it."""
    logger = get_run_logger()
    address = f"register@{recipe}"
    try:
        code, lines = run_watched("register", address, "tasks.register", [recipe], logger.info, place_of_run())
        if code != 0:
            raise crash(address, code, lines)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    return Completed(data=read_registration(recipe))


def _result(state: State[Any]) -> Any:
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _require_clean(nodes: Sequence[Node]) -> None:
    """After a flow DVC has nothing to do. Raises GristmillError with the changed stages and why they changed."""
    if stale := changes([node.address for node in nodes]):
        reasons = "; ".join(f"{address} ({reason})" for address, reason in stale.items())
        raise GristmillError(f"dvc status: files changed while the flow ran: {reasons}; run it again")


def _publish(summary: Summary) -> None:
    lines = [f"# {summary.recipe}", "", "| metric | value |", "|---|---|"]
    lines += [f"| {name} | {figure(value)} |" for name, value in summary.metrics.items()]
    lines += ["", "| stage | | seconds |", "|---|---|---|"]
    lines += [f"| {row.address} | {row.happened} | {row.seconds:.1f} |" for row in summary.rows]
    told = dict(summary.registration)
    warnings = [*told.pop("warnings", ()), *filter(None, [summary.warning])]
    lines += ["", *(f"- {name}: {value}" for name, value in told.items())]
    lines += [line for warning in warnings for line in ("", f"**Warning: {warning}**")]
    create_markdown_artifact("\n".join(lines), key=f"{summary.recipe}-metrics", description="Final metrics")
