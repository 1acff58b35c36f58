"""Writes the ledger: appends an event, and shows the last ones in the description of the registered model.

See `ledger` for what an event is and how it is stored.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from tasks.register.ledger import (
    BEGAN,
    ENDS,
    EVENT,
    LONGEST,
    REFUSED,
    REGISTERED,
    Event,
    Ledger,
    canonical,
    hash_of,
    read_ledger,
)
from tasks.register.person import person
from tasks.register.registered import Registered, refresh, write_tag
from tasks.stage.errors import one_line
from tasks.stage.redact import redact, redact_all
from tasks.tracking.client import RECIPE

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMMIT = "mlflow.source.git.commit"
WAS_CHAMPION = re.compile(r"was champion until version (\d+)")
"""The reason of a former champion, in the tag of its version."""
REASON = "gristmill.reason"

SHOWN, WIDTH = 10, 200
"""How many events the description of the model shows, and the characters of each line."""
START, END = "<!-- gristmill: last events -->", "<!-- /gristmill -->"
SECTION = re.compile(rf"\n*{re.escape(START)}.*?(?:{re.escape(END)}|\Z)\n*", re.DOTALL)
MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~!])")
ADDRESS = re.compile(r" <[^<>]*>$")

ROUNDS = 20
"""How often a writer looks whether another one has written at the same time."""


def record(
    client: "MlflowClient",
    model: Registered,
    event: str,
    *,
    version: int | None,
    before: int | None,
    after: int | None,
    reason: str,
    verdict: Mapping[str, Any] | None = None,
    **more: list[int],
) -> Event:
    """Append an event after all that are there now; `publish` follows. `before` and `after` are champions.

    Infinite numbers of a verdict and those that are not a number are stored as null. Damage in the ledger does not stop
    it: the event tells what no earlier one told.
    """
    refresh(client, model)
    ledger = read_ledger(model)
    run = model.versions[version].run_id if version in model.versions else None
    fields: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": event,
        "version": version,
        "before": before,
        "after": after,
        "person": person(),
        "recipe": model.versions[version].tags.get(RECIPE) if version in model.versions else None,
        "run": run or None,
        "commit": _commit(client, run),
        "reason": redact(one_line(reason)),
        "verdict": None if verdict is None else _finite(redact_all(dict(verdict))),
        "previous": ledger.ends,
        **more,
    }
    if ledger.new_faults:
        fields["faults"] = ledger.new_faults
    fields["hash"] = hash_of(fields)
    stamp = fields["time"].replace("-", "").replace(":", "")
    key, text = f"{EVENT}{stamp}-{fields['hash'][:8]}", canonical(fields)
    parts = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    for number in range(len(parts), 0, -1):  # the first part last: without it the others are not read
        name = key if number == 1 else f"{key}.{number}"
        write_tag(client.set_registered_model_tag, model.name, name, parts[number - 1])
        model.tags[name] = parts[number - 1]
    model.appended.append(fields["hash"])
    return next(each for each in read_ledger(model).events if each.hash == fields["hash"])


def begin(client: "MlflowClient", model: Registered, champion: int | None) -> None:
    """The first event of a model that has versions and no ledger, with its former champions by their tags."""
    until = {
        number: int(found[1])
        for number, version in model.versions.items()
        if (found := WAS_CHAMPION.match(version.tags.get(REASON, ""))) and number != champion
    }
    former, known = sorted(until, key=lambda number: until[number]), sorted(model.versions)
    holder = model.versions.get(champion or 0)
    told = holder.tags.get(REASON, "") if holder is not None else ""
    reason = f"the ledger begins here{f'; version {champion} is champion: {told}' if told else ''}"
    record(
        client, model, BEGAN, version=champion, before=None, after=champion, reason=reason, former=former, known=known
    )


def publish(client: "MlflowClient", model: Registered) -> None:
    """Note the end of the ledger and show its last events, also where another writer appends at the same time."""
    for _ in range(ROUNDS):
        ledger = read_ledger(model)
        ends = json.dumps({"events": len(ledger.events), "ends": ledger.ends})
        text = describe_model(model.description, ledger)
        if model.tags.get(ENDS) == ends and model.description == text:
            return
        if model.tags.get(ENDS) != ends:
            write_tag(client.set_registered_model_tag, model.name, ENDS, ends)
        if model.description != text:
            client.update_registered_model(model.name, text)
        refresh(client, model)


def describe_model(description: str, ledger: Ledger) -> str:
    """The user's description, then the last events as a list in Markdown, as many as MLflow's schema has room for."""
    own = SECTION.sub("\n\n", description).strip()
    recipe = next((event.recipe for event in reversed(ledger.events) if event.recipe), None)
    head = [START, f"**Last events** (all: `gristmill history {recipe or 'RECIPE'}`)", ""]
    for count in range(SHOWN, 0, -1):
        lines = [f"- {_line(event)}" for event in reversed(ledger.events[-count:])]
        text = "\n\n".join(filter(None, [own, "\n".join([*head, *lines, "", END])]))
        if len(text) <= LONGEST:
            return text
    return own


def _line(event: Event) -> str:
    """`2026-11-27 21:23 UTC: version 3 promoted, champion 2 → 3, by Ada: better: …`, escaped and shortened."""
    when = f"{event.time[:10]} {event.time[11:16]} UTC"
    what = event.event if event.version is None or event.event == BEGAN else f"version {event.version} {event.event}"
    moved = f", champion {event.before or 'none'} → {event.after or 'none'}" if event.moves else ""
    told = f"{when}: {what}{moved}, by {ADDRESS.sub('', event.person)}{f': {event.reason}' if event.reason else ''}"
    told = told if len(told) <= WIDTH else f"{told[: WIDTH - 1]}…"
    return MARKDOWN.sub(r"\\\1", escape(told, quote=False))  # MLflow's page keeps the backslash of \\< and \\&


def is_same_refusal(ledger: Ledger, version: int, reason: str) -> bool:
    """Whether the last decision about a version was to refuse it for this reason."""
    about = [event for event in ledger.events if event.version == version and event.event != REGISTERED]
    return bool(about) and (about[-1].event, about[-1].reason) == (REFUSED, redact(one_line(reason)))


def _commit(client: "MlflowClient", run: str | None) -> str | None:
    """The commit of a run; None if it has none, or is gone."""
    from mlflow.exceptions import MlflowException

    if not run:
        return None
    try:
        return client.get_run(run).data.tags.get(COMMIT)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
