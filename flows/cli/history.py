"""`gristmill history`: who became champion of a recipe, when, by whom and why."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from flows.cli.tables import make_table, show, warn
from flows.events import announce
from flows.summary import figure

if TYPE_CHECKING:
    from tasks.register.history import History
    from tasks.register.ledger import Event

COLUMNS = ("time", "event", "version", "champion", "who", "reason", "verdict")


def print_history(recipe: str, as_json: bool, at: datetime | None) -> None:
    """Print the ledger as a table or JSON, or who was champion `at` a time, then its faults as warnings.

    Exits with 1 if there are faults. Raises GristmillError if nothing is registered, or for a time before the ledger.
    """
    from tasks.register.history import history

    found = history(recipe)
    events = found.ledger.events
    if at is not None:
        _print_champion(found, at, as_json)
    elif as_json:
        told = {"model": found.model, "champion": found.champion, "events": [event.to_json() for event in events]}
        show_json({**told, "faults": list(found.faults)})
    elif events:
        show(make_table(COLUMNS, [_row(event) for event in events]))
    else:
        show(f"{found.model} has no ledger yet: it begins with the next registration, promotion or rollback")
    for fault in found.faults:
        warn(f"the ledger of {found.model}: {fault}")
    announce(recipe)
    if found.faults:
        sys.exit(1)


def figures(verdict: Mapping[str, Any] | None) -> str:
    """A verdict in one line: `better: gain 0.0123 (0.0040 to 0.0206), p 0.003`."""
    if verdict is None:
        return ""
    word, gain, low, high, p = (verdict.get(name) for name in ("verdict", "gain", "low", "high", "p"))
    interval = f" ({figure(low)} to {figure(high)})" if low is not None and high is not None else ""
    told = [f"gain {figure(gain)}{interval}" if gain is not None else "", f"p {p:.2g}" if p is not None else ""]
    return ": ".join(filter(None, [str(word or ""), ", ".join(filter(None, told))]))


def show_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_champion(found: "History", at: datetime, as_json: bool) -> None:
    event = found.at(at)
    if as_json:
        show_json({"model": found.model, "at": at.isoformat(), "champion": event.after, "event": event.to_json()})
        return
    who = f"version {event.after} was champion" if event.after else "there was no champion"
    verdict = figures(event.verdict)
    show(f"{found.model} at {_local(at)}: {who} since {_local(datetime.fromisoformat(event.time))}")
    lines = {"event": event.event, "by": event.person, "reason": event.reason, "verdict": verdict}
    lines |= {"run": event.run or "", "commit": event.commit or ""}
    show("\n".join(f"  {name:8}{text}" for name, text in lines.items() if text))


def _row(event: "Event") -> tuple[str, ...]:
    """The cells of an event, in the order of COLUMNS."""
    champion = f"{event.before or 'none'} → {event.after or 'none'}" if event.moves else figure(event.after)
    when = _local(datetime.fromisoformat(event.time)).rpartition(" ")[0]
    who = event.person.partition(" <")[0]
    return when, event.event, figure(event.version), champion, who, event.reason, figures(event.verdict)


def _local(when: datetime) -> str:
    """`2026-11-27 21:23 UTC`, in local time."""
    return f"{when.astimezone():%Y-%m-%d %H:%M %Z}"
