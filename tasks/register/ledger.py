"""The ledger of a registered model: what was registered, promoted, refused and rolled back, when, by whom and why.

Each event is a tag of the registered model under a key of its own, so that two writers at once never overwrite one
another: `mlflow.gristmill.event.<UTC time>-<8 digits of its hash>`. (MLflow's pages hide keys that begin with
`mlflow.`.) Postgres and MySQL keep 5,000 characters of such a tag; a longer event goes on in `<key>.2`, `<key>.3`, ….

Each event names the hashes of the events that were the last ones when it was written: normally one; after two writers
at once two, as a merge does in git. So the events are a Merkle DAG, and a changed or missing one is noticed: its hash
is another, or an event names one that nobody has. The end is noted in the tag `mlflow.gristmill.ledger`, and by each
workspace (`tasks.register.seen`), so that a lost end is noticed, too.

This module reads: it parses the tags, checks them, puts the events in order and answers from them. `journal` writes.
"""

import hashlib
import heapq
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.register.registered import Registered

EVENT, ENDS = "mlflow.gristmill.event.", "mlflow.gristmill.ledger"
"""The prefix of an event's tag, and the tag with the number of events and the hashes of the last ones."""
PART = re.compile(r"(.+)\.(\d+)$")
LONGEST = 5000
"""Characters of a registered model's tag and of its description in MLflow's schema: VARCHAR(5000)."""

BEGAN = "ledger began"
REGISTERED, PROMOTED, REFUSED, SUCCEEDED = "registered", "promoted", "refused", "replaced"
FOUND = "found"
"""Of a champion whose own event is missing."""
PROMOTED_BY_HAND, ROLLED_BACK, MOVED_BY_HAND = "promoted by hand", "rolled back", "moved by hand"
HANDS = (PROMOTED_BY_HAND, ROLLED_BACK, MOVED_BY_HAND)
"""Events after which only a new, better version replaces the champion."""


@dataclass(frozen=True)
class Event:
    """One event. `before` and `after` are the champion's versions; None means that there was no champion."""

    time: str
    """When it was written: UTC, ISO 8601 to the microsecond."""
    event: str
    version: int | None
    before: int | None
    after: int | None
    person: str
    recipe: str | None
    run: str | None
    commit: str | None
    reason: str
    verdict: dict[str, Any] | None
    previous: tuple[str, ...]
    """Hashes of the events that were the last ones."""
    hash: str
    """SHA-256 of the canonical JSON of all other fields."""
    former: tuple[int, ...] = ()
    """Of the first event of a model that had no ledger: its former champions, the oldest first."""
    known: tuple[int, ...] = ()
    """Of the first event of a model that had no ledger: its versions."""
    faults: tuple[str, ...] = ()
    """What was wrong with the ledger when the event was written, if no earlier event says so."""
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The event as it was read, with fields of newer versions of Gristmill."""

    @property
    def moves(self) -> bool:
        """Whether it changed the champion."""
        return self.before != self.after

    def to_json(self) -> dict[str, Any]:
        """The event as it was written."""
        return dict(self.written)


@dataclass(frozen=True)
class Ledger:
    """All events, each after those that it names, and what is wrong with them, one sentence each."""

    events: tuple[Event, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def ends(self) -> list[str]:
        """The hashes of the last events: those that no other event names."""
        named = {each for event in self.events for each in event.previous}
        return sorted(event.hash for event in self.events if event.hash not in named)

    @property
    def last_move(self) -> Event | None:
        """The event that made the present champion, or took the alias away."""
        return next((event for event in reversed(self.events) if event.moves), None)

    @property
    def champion(self) -> int | None:
        """The champion by the ledger."""
        return None if self.last_move is None else self.last_move.after

    @property
    def rivals(self) -> set[int | None]:
        """The champions of all moves that no other move follows: several after two writers at once."""
        found: set[int | None] = set()
        followed: set[str] = set()
        for event in reversed(self.events):
            if event.moves and event.hash not in followed:
                found.add(event.after)
            if event.moves or event.hash in followed:
                followed.update(event.previous)
        return found

    @property
    def new_faults(self) -> list[str]:
        """The faults that no event tells."""
        told = {fault for event in self.events for fault in event.faults}
        return [fault for fault in self.faults if fault not in told]

    def knows(self, version: int) -> bool:
        """Whether the version was registered by an event, or was there when the ledger began."""
        return any(
            version in event.known or (event.version == version and event.event == REGISTERED) for event in self.events
        )

    def decisions(self, data: str) -> int:
        """How many verdicts were given on the test text with this hash (`verdict["data"]`)."""
        return sum(event.verdict is not None and event.verdict.get("data") == data for event in self.events)

    def at(self, time: datetime) -> Event | None:
        """The event that made the champion of that time; None if the ledger is younger. `time` has a time zone."""
        then = [event for event in self.events if event.moves and datetime.fromisoformat(event.time) <= time]
        return then[-1] if then else None

    def reigns(self) -> tuple[list[int], set[int]]:
        """The champions that a rollback may return to, the present one last, and those that were rolled back from."""
        reigned: list[int] = []
        rejected: set[int] = set()
        for event in self.events:
            if event.event == BEGAN:
                reigned = [*event.former]
            if not event.moves or event.after is None:
                continue
            if event.event == ROLLED_BACK:
                if event.before is not None:
                    rejected.add(event.before)
                while reigned and event.after in reigned and reigned[-1] != event.after:
                    reigned.pop()
            if event.event == SUCCEEDED:
                reigned = [event.after if each == event.before else each for each in reigned]
            rejected.discard(event.after)
            if reigned[-1:] != [event.after]:
                reigned.append(event.after)
        return reigned, rejected


def read_ledger(model: Registered) -> Ledger:
    """The ledger of a registered model, checked; a damaged one gives what is left of it, and its faults."""
    faults: list[str] = []
    events: dict[str, Event] = {}
    for key, text in _texts(model.tags):
        event = _parse(text)
        if event is None:
            faults.append(f"the event {key.removeprefix(EVENT)} cannot be read")
        else:
            if hash_of(event.written) != event.hash:
                faults.append(f"the event of {event.time} ({event.event}) was changed after it was written")
            events[event.hash] = event
    faults += _missing(model, events)
    return Ledger(tuple(_in_order(events)), tuple(dict.fromkeys(faults)))


def hash_of(fields: Mapping[str, Any]) -> str:
    """SHA-256 of an event's canonical JSON without its hash."""
    return hashlib.sha256(canonical({key: each for key, each in fields.items() if key != "hash"}).encode()).hexdigest()


def canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, without blanks, in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _texts(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Key and text of each event, put together from its parts."""
    for key in sorted(key for key in tags if key.startswith(EVENT)):
        if (part := PART.fullmatch(key)) is None or part[1] not in tags:
            more = (f"{key}.{number}" for number in range(2, len(tags) + 2))
            parts = [tags[key]]
            for name in more:
                if name not in tags:
                    break
                parts.append(tags[name])
            yield key, "".join(parts)


def _parse(text: str) -> Event | None:
    try:
        found = json.loads(text)
        known = {name: found[name] for name in Event.__dataclass_fields__ if name in found and name != "written"}
        for name in ("previous", "former", "known", "faults"):
            known[name] = tuple(known.get(name, ()))
        event = Event(**known, written=found)
        whole = all(isinstance(each, (int, type(None))) for each in (event.version, event.before, event.after))
        dated = datetime.fromisoformat(event.time).tzinfo is not None
        plain = event.verdict is None or isinstance(event.verdict, dict)
        texts = (event.event, event.hash, event.reason, event.person, *event.previous, *event.faults)
        return event if whole and dated and plain and all(isinstance(each, str) for each in texts) else None
    except (ValueError, TypeError, KeyError):
        return None


def _in_order(events: Mapping[str, Event]) -> Iterator[Event]:
    """Each event after those that it names, else by time: the same order for every reader, whatever the clocks say."""
    waiting = {name: {each for each in event.previous if each in events} for name, event in events.items()}
    following: dict[str, list[str]] = {}
    for name, named in waiting.items():
        for each in named:
            following.setdefault(each, []).append(name)
    ready = [(events[name].time, name) for name, named in waiting.items() if not named]
    heapq.heapify(ready)
    left = set(events)
    while left:
        if not ready:  # a circle, which only a forger can write
            ready = [min((events[name].time, name) for name in left)]
        _, name = heapq.heappop(ready)
        if name not in left:
            continue
        left.remove(name)
        yield events[name]
        for after in following.get(name, ()):
            waiting[after].discard(name)
            if not waiting[after]:
                heapq.heappush(ready, (events[after].time, after))


def _missing(model: Registered, events: Mapping[str, Event]) -> Iterator[str]:
    """A sentence for each event that others, the tag of the ledger, or this workspace know and nobody has."""
    for event in events.values():
        for each in event.previous:
            if each not in events:
                yield f"the event {each[:8]} before that of {event.time} ({event.event}) is missing"
    for where, noted in (("the registered model", read_ends(model.tags.get(ENDS))), ("this workspace", model.seen)):
        count, ends = noted.get("events", 0), noted.get("ends", [])
        for each in ends:
            if each not in events:
                yield f"the event {each[:8]}, the last one that {where} noted, is missing"
        if isinstance(count, int) and count > len(events):
            yield f"{where} noted {count} events, and {len(events)} are there"


def read_ends(text: str | None) -> dict[str, Any]:
    """The note of a ledger's end: {events, ends}; empty if there is none, or an unreadable one."""
    try:
        found = json.loads(text or "{}")
        return found if isinstance(found, dict) else {}
    except ValueError:
        return {}
