"""`gristmill run`: a look whether there is anything to do, the flow if there is, and a summary."""

import time

from flows.cli.tables import print_summary
from flows.summary import Row, Summary, read_metrics


def run_recipe(recipe: str) -> None:
    """Bring a recipe's model up to date and say what happened.

    Without a Prefect server of one's own a flow first waits some 20 s for a temporary one. Where DVC has nothing to
    do, only the register is asked, and that needs no flow. Raises GristmillError for what the user can mend.
    """
    from flows.graph import changes, read_graph
    from flows.recipes import check
    from flows.workspace import claim

    check(recipe)
    addresses = [node.address for node in read_graph(recipe)]
    with claim(recipe, [], print):
        changed = changes(addresses)
        if not changed:
            print(f"{recipe}: no stage has changed; looking whether its model is registered", flush=True)
            if not server_is_configured():
                print_summary(_only_register(recipe, addresses))
                return
    from flows.pipeline import run

    print_summary(run(recipe))


def server_is_configured() -> bool:
    """Whether Prefect has a server, by the environment, a profile or the project's settings."""
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def _only_register(recipe: str, addresses: list[str]) -> Summary:
    from tasks.register.registration import run as register
    from tasks.stage.errors import TransientError

    began = time.monotonic()
    registration, warning = {}, None
    try:
        registration = register(recipe)
    except TransientError as error:
        warning = str(error)
    rows = [Row(address, "unchanged", 0.0) for address in addresses]
    return Summary(recipe, None, rows, read_metrics(recipe), registration, warning, round(time.monotonic() - began, 1))
