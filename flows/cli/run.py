"""`gristmill run`: a look whether there is anything to do, the flow if there is, and a summary."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flows.cli.tables import print_summary
from flows.configured import server_is_configured
from flows.summary import Row, Summary, read_metrics
from flows.temporary import temporary_server

if TYPE_CHECKING:
    from flows.graph import Node


def run_recipe(recipe: str) -> None:
    """Bring a recipe's model up to date and say what happened.

    Where DVC has nothing to do, only the record is looked at, and that needs no flow. Without a Prefect server of one's
    own a flow needs a temporary one, which starts while DVC is asked. Raises GristmillError for what the user can mend.
    """
    from flows.recipes import check
    from tasks.register.recorded import files_are_known

    known = files_are_known(recipe)
    if not known:
        check(recipe)  # otherwise it is the one that the last run checked
    configured = server_is_configured()
    with ExitStack() as started:
        starting = started.enter_context(temporary_server()) if not (known or configured) else None
        summary, nodes = _without_flow(recipe, known, configured)
        if summary is None:
            starting = starting or (None if configured else started.enter_context(temporary_server()))
            from flows.pipeline import run

            summary = run(recipe, starting, None if known else nodes)
    print_summary(summary)


def _without_flow(recipe: str, known: bool, configured: bool) -> "tuple[Summary | None, list[Node]]":
    """The end of a run in which no stage has changed, None where a flow is due, or wanted on a server; and the graph.

    DVC and the record, where it may be `known` to be whole, are asked side by side.
    """
    from flows.graph import CODE, look, opened
    from flows.runner import reproduce
    from flows.workspace import claim
    from tasks.register.recorded import whole

    began = time.monotonic()
    with ThreadPoolExecutor(1) as beside, opened() as repo, claim(recipe, [], print):
        record = beside.submit(whole, recipe) if known and not configured else None
        nodes, changed = look(recipe, repo)
        if CODE in changed:  # a second, and most often nothing else has to run
            reproduce(next(node for node in nodes if node.address == CODE), print)
            nodes, changed = look(recipe, repo)
        if changed:
            return None, nodes
        print(f"{recipe}: no stage has changed; looking whether its model is registered", flush=True)
        if configured:
            return None, nodes
        registration, warning = _register(recipe, record.result() if record else None)
    rows = [Row(node.address, "unchanged", 0.0) for node in nodes]
    took = round(time.monotonic() - began, 1)
    return Summary(recipe, None, rows, read_metrics(recipe), registration, warning, took), nodes


def _register(recipe: str, known: dict[str, Any] | None) -> tuple[dict[str, Any], str | None]:
    """The registration, and a warning where the record has to be completed later; `known` where it is whole."""
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
