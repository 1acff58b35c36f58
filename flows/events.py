"""Events in Prefect, so that automations and notifications can hang on them.

gristmill.gate        a new version was promoted or refused
gristmill.champion    the champion changed: by the gate, by `gristmill promote` or `rollback`, or in MLflow's pages

Their resource is `gristmill.recipe.<recipe>` with the labels below; the payload is the event of the ledger with the
name of the registered model, the verdict and its figures included. They come from `data/<recipe>/ledger.json`, where
register, promote, rollback and history note what they wrote (`tasks.register.seen`).
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import click

from flows.configured import server_is_configured
from flows.summary import read_json
from tasks.stage.errors import GristmillError
from tasks.stage.run import DATA

GATE, CHAMPION = "gristmill.gate", "gristmill.champion"
DECISIONS = ("promoted", "refused")
LONGEST_VERDICT = 100_000
"""Characters of JSON; Prefect refuses events of 1.5 MB. Of a longer verdict only single figures are sent."""


class Told(NamedTuple):
    """An event for Prefect."""

    event: str
    occurred: datetime
    resource: dict[str, str]
    payload: dict[str, Any]


def emit(recipe: str) -> int:
    """Send Prefect what the last command or flow run wrote to the ledger; returns the number of events.

    They are sent in the background, and have arrived when `flows.api.reachable_api` ends.
    """
    from prefect.events import emit_event

    found = list(events_of(recipe))
    for told in found:
        emit_event(told.event, told.resource, told.occurred, payload=told.payload)
    return len(found)


def announce(recipe: str) -> None:
    """`emit` for the command line: only to a configured server; if it is away, a line on stderr says so."""
    if not server_is_configured() or not list(events_of(recipe)):
        return
    from flows.api import reachable_api

    try:
        with reachable_api():
            emit(recipe)
    except GristmillError as error:
        click.echo(f"warning: Prefect was not told: {error}", err=True)


def events_of(recipe: str) -> Iterator[Told]:
    """What Prefect is to hear of the events that the last command or flow run wrote, in order."""
    noted = read_json(DATA / recipe / "ledger.json")
    for event in noted.get("appended", []):
        verdict = event["verdict"]
        if verdict is not None and len(json.dumps(verdict)) > LONGEST_VERDICT:
            verdict = {key: value for key, value in verdict.items() if not isinstance(value, (dict, list))}
        resource = {
            "prefect.resource.id": f"gristmill.recipe.{recipe}",
            "prefect.resource.name": recipe,
            "gristmill.model": noted["model"],
            "gristmill.event": event["event"],
            "gristmill.version": str(event["version"] or "none"),
            "gristmill.champion": str(event["after"] or "none"),
            "gristmill.verdict": str((verdict or {}).get("verdict", "none")),
        }
        payload = {**event, "verdict": verdict, "model": noted["model"]}
        occurred = datetime.fromisoformat(event["time"])
        if event["event"] in DECISIONS:
            yield Told(GATE, occurred, resource, payload)
        if event["before"] != event["after"]:
            yield Told(CHAMPION, occurred, resource, payload)
