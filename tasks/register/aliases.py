"""Aliases of a registered model: who holds them, and whether a hand moved them in MLflow's pages.

Tags of the registered model note to which version Gristmill gave an alias. An alias that is elsewhere was moved by a
hand, which is respected until there is a new version.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.register.promotion import CHALLENGER, CHAMPION, Decision
from tasks.stage.errors import GristmillError
from tasks.tracking.client import IDENTITY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

REASON, BY_HAND, REPLACED = (f"gristmill.{name}" for name in ("reason", "promoted_by_hand", "replaced_by"))
NOTES = {alias: f"gristmill.{alias}" for alias in (CHAMPION, CHALLENGER)}
"""Alias → the tag that notes its version: `2`, `none`, or `1>2` while it moves, so that a crash is no hand."""
NONE = "none"
OUR_WORDS = (f"{CHAMPION}: ", f"{CHALLENGER}: ", "was champion ", "replaced by ")
"""How our descriptions of versions begin; any other is a user's and stays."""
HAND = "made champion by hand"


@dataclass(frozen=True)
class Registered:
    """A registered model: its versions by number, its aliases and its tags, as they are now."""

    name: str
    versions: dict[int, "ModelVersion"]
    aliases: dict[str, int]
    tags: dict[str, str]

    def holder(self, alias: str) -> "ModelVersion | None":
        """The version with an alias, or None."""
        return self.versions.get(self.aliases.get(alias, 0))

    def moved_by_hand(self, alias: str) -> bool:
        """Whether somebody else gave the alias to its version, or took it away."""
        note, holder = self.tags.get(NOTES[alias]), self.holder(alias)
        if note is None:  # of an older Gristmill, which described its champion, or of somebody else
            return holder is not None and not (holder.description or "").startswith(f"{alias}: ")
        ours = note.split(">")
        if holder is None:
            return NONE not in ours and ours[-1] in map(str, self.versions)
        return str(holder.version) not in ours


def read_registered(client: "MlflowClient", name: str) -> Registered | None:
    """The registered model, or None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    aliases = {alias: int(number) for alias, number in found.aliases.items()}
    return Registered(name, versions, aliases, dict(found.tags))


def promote(client: "MlflowClient", name: str, number: int) -> "ModelVersion | None":
    """Make a version champion whatever its score, until a new version is better. Returns the previous champion.

    Raises GristmillError if there is no such version.
    """
    model = read_registered(client, name)
    if model is None or number not in model.versions:
        there = ", ".join(map(str, sorted(model.versions))) if model and model.versions else "none"
        raise GristmillError(f"{name} has no version {number} (available: {there})")
    old = model.holder(CHAMPION)
    if old is None or int(old.version) != number:
        _crown_by_hand(client, model, model.versions[number])
    return old


def adopt(client: "MlflowClient", model: Registered) -> None:
    """Treat a champion made in MLflow's pages as one made by `gristmill promote`."""
    champion = model.holder(CHAMPION)
    if champion is not None and model.moved_by_hand(CHAMPION):
        _crown_by_hand(client, model, champion)


def crown(client: "MlflowClient", model: Registered, version: "ModelVersion", decision: Decision) -> None:
    """Give a version the alias of the decision, with the reason; a new champion replaces the old one."""
    number = int(version.version)
    if decision.alias == CHAMPION:
        noted = model.tags.get(NOTES[CHAMPION], "").split(">")
        before = [old for old in model.versions if old == model.aliases.get(CHAMPION) or str(old) in noted]
        _move(client, model, CHAMPION, number)
        if model.aliases.get(CHALLENGER) == number:
            _move(client, model, CHALLENGER, None)
        for old in before:
            if old != number:
                _dethrone(client, model.versions[old], version)
    else:
        _move(client, model, decision.alias, number)
    set_tags(client, version, {REASON: decision.reason})


def succeed(client: "MlflowClient", model: Registered, old: "ModelVersion", new: "ModelVersion") -> None:
    """A version whose run or files are gone is replaced: the new one inherits its aliases and how it got them."""
    for alias in [alias for alias, number in model.aliases.items() if number == int(old.version)]:
        if alias in NOTES:
            _move(client, model, alias, int(new.version))
        else:
            client.set_registered_model_alias(model.name, alias, new.version)
    set_tags(client, new, {key: old.tags[key] for key in (REASON, BY_HAND) if key in old.tags})
    set_tags(client, old, {REPLACED: str(new.version)})
    describe(client, old, f"replaced by version {new.version}, since its run or its files were deleted")


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
            client.set_model_version_tag(version.name, version.version, key, value)
            version.tags[key] = value


def _sentences(warnings: Iterable[str]) -> list[str]:
    return [f"Warning: {warning}." for warning in warnings]


def _crown_by_hand(client: "MlflowClient", model: Registered, version: "ModelVersion") -> None:
    crown(client, model, version, Decision(CHAMPION, HAND))
    set_tags(client, version, {BY_HAND: "yes"})
    describe(client, version, f"{CHAMPION}: {HAND}")


def _move(client: "MlflowClient", model: Registered, alias: str, number: int | None) -> None:
    old, new = (NONE if each is None else str(each) for each in (model.aliases.get(alias), number))
    if old != new:
        client.set_registered_model_tag(model.name, NOTES[alias], f"{old}>{new}")
        if number is None:
            client.delete_registered_model_alias(model.name, alias)
            del model.aliases[alias]
        else:
            client.set_registered_model_alias(model.name, alias, new)
            model.aliases[alias] = number
    if old != new or model.tags.get(NOTES[alias]) != new:
        client.set_registered_model_tag(model.name, NOTES[alias], new)
        model.tags[NOTES[alias]] = new


def _dethrone(client: "MlflowClient", old: "ModelVersion", new: "ModelVersion") -> None:
    reason = f"was champion until version {new.version}"
    set_tags(client, old, {REASON: reason})
    if BY_HAND in old.tags:
        client.delete_model_version_tag(old.name, old.version, BY_HAND)
        del old.tags[BY_HAND]
    describe(client, old, reason)
