"""`gristmill run`: check for changes, run the flow if there are any, and print a summary."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flows.cli.tables import print_summary
from flows.configured import server_is_configured
from flows.progress import bar_on_terminal, describe
from flows.summary import Row, Summary, read_metrics
from flows.temporary import temporary_server

if TYPE_CHECKING:
    from flows.graph import Node


def run_recipe(recipe: str) -> None:
    """Bring a recipe's model up to date and print a summary.

    If DVC has nothing to do, only the record is checked, without a flow. If no Prefect server is configured, a
    temporary one starts while DVC computes its status. Raises GristmillError for errors that the user can fix.
    """
    from flows.recipes import check
    from tasks.register.recorded import files_are_known

    known = files_are_known(recipe)
    if not known:
        check(recipe)  # a known recipe was checked by the last run
    configured = server_is_configured()
    with ExitStack() as started:
        started.enter_context(bar_on_terminal())
        starting = started.enter_context(temporary_server()) if not (known or configured) else None
        summary, nodes = _without_flow(recipe, known, configured)
        if summary is None:
            starting = starting or (None if configured else started.enter_context(temporary_server()))
            describe("starting Prefect")
            from flows.pipeline import run

            summary = run(recipe, starting, None if known else nodes)
    print_summary(summary)


def _without_flow(recipe: str, known: bool, configured: bool) -> "tuple[Summary | None, list[Node]]":
    """The summary of a run without changes, or None if a flow must run or a server is configured; and the graph.

    The record, if it may be `known` to be complete, is read in parallel with DVC's status.
    """
    from flows.graph import CODE, look, opened
    from flows.runner import reproduce
    from flows.workspace import claim
    from tasks.register.recorded import whole

    began = time.monotonic()
    with ThreadPoolExecutor(1) as beside, opened() as repo, claim(recipe, [], print):
        record = beside.submit(whole, recipe) if known and not configured else None
        nodes, changed = look(recipe, repo)
        if CODE in changed:  # takes a second; usually nothing else is stale then
            reproduce(next(node for node in nodes if node.address == CODE), print)
            nodes, changed = look(recipe, repo)
        if changed:
            print(f"{recipe}: {len(changed)} of {len(nodes)} stages have changed", flush=True)
            return None, nodes
        print(f"{recipe}: no stage has changed; checking the record in MLflow", flush=True)
        if configured:
            return None, nodes
        registration, warning = _register(recipe, record.result() if record else None)
    rows = [Row(node.address, "unchanged", 0.0) for node in nodes]
    took = round(time.monotonic() - began, 1)
    return Summary(recipe, None, rows, read_metrics(recipe), registration, warning, took), nodes


def _register(recipe: str, known: dict[str, Any] | None) -> tuple[dict[str, Any], str | None]:
    """The registration (`known` if the record is complete), and a warning if the record is incomplete."""
    from tasks.register.recorded import tell
    from tasks.stage.errors import TransientError

    if known is not None:
        tell(known)
        return known, None
    from tasks.register.registration import run as register

    try:
        return register(recipe), None
    except TransientError as error:
        return {}, str(error)
