"""Aliases of a registered model: who gets them, and whether a hand moved them in MLflow's pages.

Every move of the champion is first an event of the ledger (`journal`), and then carried out from it. So a move that was
cut off is finished by the next command, with its person and its reason, and after two writers at once the alias is
where the last event of the ledger says. MLflow replaces an alias in one step: it is never without a holder.

Tags of the registered model note to which version Gristmill gave an alias. An alias that is elsewhere was moved by a
hand, which is written down and respected until there is a new version.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.register.journal import REASON, ROUNDS, begin, is_same_refusal, publish, record
from tasks.register.ledger import (
    BEGAN,
    FOUND,
    HANDS,
    MOVED_BY_HAND,
    PROMOTED,
    PROMOTED_BY_HAND,
    REFUSED,
    REGISTERED,
    ROLLED_BACK,
    SUCCEEDED,
    Event,
    read_ledger,
)
from tasks.register.promotion import CHALLENGER, CHAMPION, Decision
from tasks.register.registered import NONE, NOTES, Registered, refresh, write_tag
from tasks.register.registered import read_registered as read_registered
from tasks.register.variants import follow
from tasks.tracking.client import IDENTITY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BY_HAND, REPLACED = "gristmill.promoted_by_hand", "gristmill.replaced_by"
OUR_WORDS = (f"{CHAMPION}: ", f"{CHALLENGER}: ", "was champion ", "replaced by ")
"""How our descriptions of versions begin; any other is a user's and stays."""
HAND = "made champion by hand"


def adopt(client: "MlflowClient", model: Registered) -> Event | None:
    """Say what is new of the ledger's faults, and bring ledger and aliases together; see `reconcile`."""
    for fault in read_ledger(model).new_faults:
        print(f"WARNING: the ledger of {model.name}: {fault}", file=sys.stderr, flush=True)
    return reconcile(client, model)


def reconcile(client: "MlflowClient", model: Registered) -> Event | None:
    """Write down what a hand did to the champion in MLflow's pages, once, or finish a move that was cut off.

    A champion of a hand is treated as one of `gristmill promote`; one whose event is missing stays. Returns the event
    of a move that was finished.
    """
    if not read_ledger(model).events:
        if not model.versions:
            return None
        noted = model.note(CHAMPION)[-1:]
        known = int(noted[0]) if noted and noted[0].isdecimal() else None
        begin(client, model, known if noted and model.moved_by_hand(CHAMPION) else model.aliases.get(CHAMPION))
        publish(client, model)
    ledger = read_ledger(model)
    noted, told, now = model.note(CHAMPION), ledger.champion, model.aliases.get(CHAMPION)
    if now == told:
        stale = now in model.versions and model.moved_by_hand(CHAMPION)
        if ledger.last_move is not None and (len(noted) > 1 or (stale and ledger.last_move.event != BEGAN)):
            return _carry_out(client, model)
        if now is not None and stale:  # champion of somebody else, before the ledger
            _mark(client, model.versions[now], HAND, by_hand=True)
            _note(client, model, CHAMPION, str(now))
    elif now is None and (told not in model.versions or noted[-1:] == [str(told)]):
        reason = "the alias was taken away" if told in model.versions else f"version {told} was deleted"
        _write_down(client, model, told, None, f"{reason} in MLflow")
    elif now in model.versions and model.moved_by_hand(CHAMPION) and now not in ledger.rivals:
        _write_down(client, model, told, now, "the alias was moved in MLflow")
    elif now in model.versions and ledger.faults and len(noted) == 1:
        reason = f"the event that made version {now} champion is missing"
        record(client, model, FOUND, version=now, before=told, after=now, reason=reason)
        _carry_out(client, model)
    elif told in model.versions:
        return _carry_out(client, model)
    else:
        _write_down(client, model, told, now, "the alias was set in MLflow")
    return None


def promote(client: "MlflowClient", model: Registered, number: int, event: str, reason: str) -> None:
    """Make a version champion whatever its score, until a new version is better.

    `event` is PROMOTED_BY_HAND or ROLLED_BACK.
    """
    before = read_ledger(model).champion
    _intend(client, model, number)
    record(client, model, event, version=number, before=before, after=number, reason=reason)
    _carry_out(client, model)


def crown(client: "MlflowClient", model: Registered, version: "ModelVersion", decision: Decision) -> None:
    """Give a version the alias of the decision, with the reason; a new champion replaces the old one.

    A version that the ledger does not know is registered there first. A refusal is written once, for a new version or
    with a verdict.
    """
    number, champion = int(version.version), model.aliases.get(CHAMPION)
    new = not read_ledger(model).knows(number)
    if new:
        told = f"trained as {version.tags.get(IDENTITY, '')[:12]}"
        record(client, model, REGISTERED, version=number, before=champion, after=champion, reason=told)
    if decision.alias == CHAMPION and champion != number:
        before = read_ledger(model).champion
        _intend(client, model, number)
        record(
            client, model, PROMOTED, version=number, before=before, after=number, reason=decision.reason,
            verdict=decision.verdict,
        )  # fmt: skip
        _carry_out(client, model)
        return
    if decision.alias != CHAMPION:
        _move(client, model, decision.alias, number)
        if (new or decision.verdict is not None) and not is_same_refusal(read_ledger(model), number, decision.reason):
            record(
                client, model, REFUSED, version=number, before=champion, after=champion, reason=decision.reason,
                verdict=decision.verdict,
            )  # fmt: skip
    set_tags(client, version, {REASON: decision.reason})
    publish(client, model)


def succeed(client: "MlflowClient", model: Registered, old: "ModelVersion", new: "ModelVersion") -> None:
    """A version whose run or files are gone is replaced: the new one inherits its aliases and how it got them."""
    before, after = int(old.version), int(new.version)
    set_tags(client, new, {key: old.tags[key] for key in (REASON, BY_HAND) if key in old.tags})
    if not read_ledger(model).knows(after):
        champion = model.aliases.get(CHAMPION)
        told = f"in place of version {before}, whose run or files were deleted"
        record(client, model, REGISTERED, version=after, before=champion, after=champion, reason=told)
    for alias in [alias for alias, number in model.aliases.items() if number == before]:
        if alias == CHAMPION:
            told = f"the run or the files of version {before} were deleted"
            _intend(client, model, after)
            record(client, model, SUCCEEDED, version=after, before=before, after=after, reason=told)
            _carry_out(client, model)
        elif alias == CHALLENGER:
            _move(client, model, alias, after)
        else:
            write_tag(client.set_registered_model_alias, model.name, alias, new.version)
    set_tags(client, old, {REPLACED: str(new.version)})
    describe(client, old, f"replaced by version {new.version}, since its run or its files were deleted")
    publish(client, model)


def describe(client: "MlflowClient", version: "ModelVersion", text: str, warnings: Iterable[str] = ()) -> None:
    """Describe a version of ours, unless a user did."""
    told = version.description or ""
    text = " ".join([f"{text}.", f"Trained as {version.tags.get(IDENTITY, '')[:12]}.", *_sentences(warnings)])
    if IDENTITY in version.tags and told != text and (not told or told.startswith(OUR_WORDS)):
        client.update_model_version(version.name, version.version, text)


def set_tags(client: "MlflowClient", version: "ModelVersion", tags: dict[str, str]) -> None:
    """Set the tags of a version that are missing or have another value."""
    for key, value in tags.items():
        if version.tags.get(key) != value:
            write_tag(client.set_model_version_tag, version.name, version.version, key, value)
            version.tags[key] = value


def _sentences(warnings: Iterable[str]) -> list[str]:
    return [f"Warning: {warning}." for warning in warnings]


def _write_down(client: "MlflowClient", model: Registered, before: int | None, after: int | None, reason: str) -> None:
    """Record what a hand did in MLflow's pages."""
    version = before if after is None else after
    record(client, model, MOVED_BY_HAND, version=version, before=before, after=after, reason=reason)
    _carry_out(client, model)


def _carry_out(client: "MlflowClient", model: Registered) -> Event | None:
    """Carry out the last move of the ledger until MLflow shows it, whoever else writes at the same time."""
    for _ in range(ROUNDS):
        event = read_ledger(model).last_move
        if event is not None and event.after in model.versions:
            _enact(client, model, event, model.versions[event.after])
        publish(client, model)
        if event is not None and event.after in model.versions:
            _note(client, model, CHAMPION, str(event.after))  # last: until now the move is unfinished
        refresh(client, model)
        last = read_ledger(model).last_move
        done = last is None or last.after not in model.versions or model.aliases.get(CHAMPION) == last.after
        if done and (last is None or event is None or last.hash == event.hash):
            break
    if event is not None and event.hash not in model.appended:
        model.appended.append(event.hash)
    return event


def _enact(client: "MlflowClient", model: Registered, event: Event, version: "ModelVersion") -> None:
    """Make a version champion as an event says; repeating it changes nothing."""
    number, holder = int(version.version), model.aliases.get(CHAMPION)
    former = {str(event.before), str(holder), *model.note(CHAMPION)} - {str(number)}
    _intend(client, model, number)
    if event.event not in (BEGAN, SUCCEEDED, FOUND):  # those keep how the version got its alias
        _mark(client, version, _reason(event), event.event in HANDS)
    if holder != number:
        write_tag(client.set_registered_model_alias, model.name, CHAMPION, str(number))
        model.aliases[CHAMPION] = number
    follow(client, model, version)
    if model.aliases.get(CHALLENGER) == number:
        _move(client, model, CHALLENGER, None)
    for old in (model.versions[int(each)] for each in former if each.isdecimal() and int(each) in model.versions):
        if event.event != SUCCEEDED:
            _dethrone(client, old, version)


def _intend(client: "MlflowClient", model: Registered, number: int) -> None:
    """Note that a version is to become champion: whoever finds the note finishes what the ledger says."""
    holder = model.aliases.get(CHAMPION)
    if holder != number:
        _note(client, model, CHAMPION, f"{NONE if holder is None else holder}>{number}")


def _reason(event: Event) -> str:
    """The reason in the tag of a version that became champion by this event."""
    told = f": {event.reason}" if event.reason else ""
    if event.event == ROLLED_BACK:
        return f"rolled back from version {event.before}{told}" if event.before else f"{HAND}{told}"
    if event.event == PROMOTED_BY_HAND:
        return f"{HAND}{told}"
    return HAND if event.event == MOVED_BY_HAND else event.reason


def _mark(client: "MlflowClient", version: "ModelVersion", reason: str, by_hand: bool) -> None:
    """Note on a champion how it became one."""
    set_tags(client, version, {REASON: reason} | ({BY_HAND: "yes"} if by_hand else {}))
    if by_hand:
        describe(client, version, f"{CHAMPION}: {reason}")
    else:
        _unmark(client, version)


def _unmark(client: "MlflowClient", version: "ModelVersion") -> None:
    if BY_HAND in version.tags:
        client.delete_model_version_tag(version.name, version.version, BY_HAND)
        del version.tags[BY_HAND]


def _dethrone(client: "MlflowClient", old: "ModelVersion", new: "ModelVersion") -> None:
    reason = f"was champion until version {new.version}"
    set_tags(client, old, {REASON: reason})
    _unmark(client, old)
    describe(client, old, reason)


def _move(client: "MlflowClient", model: Registered, alias: str, number: int | None) -> None:
    """Give the alias challenger to a version, or take it away."""
    old, new = (NONE if each is None else str(each) for each in (model.aliases.get(alias), number))
    if old != new:
        _note(client, model, alias, f"{old}>{new}")
        if number is None:
            client.delete_registered_model_alias(model.name, alias)
            del model.aliases[alias]
        else:
            write_tag(client.set_registered_model_alias, model.name, alias, new)
            model.aliases[alias] = number
    _note(client, model, alias, new)


def _note(client: "MlflowClient", model: Registered, alias: str, note: str) -> None:
    if model.tags.get(NOTES[alias]) != note:
        write_tag(client.set_registered_model_tag, model.name, NOTES[alias], note)
        model.tags[NOTES[alias]] = note
