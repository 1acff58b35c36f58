"""A registered model as it is now: its versions, who holds its aliases, its tags."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.register.promotion import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NOTES = {alias: f"gristmill.{alias}" for alias in (CHAMPION, CHALLENGER)}
"""Alias → the tag that notes its version: `2`, `none`, or `1>2` while it moves, so that a crash is no hand."""
NONE = "none"
TAKEN = re.compile(r"unique constraint|duplicate (?:key|entry)", re.IGNORECASE)
"""How SQLite, Postgres and MySQL refuse a row that is there."""


@dataclass
class Registered:
    """A registered model: its versions by number, its aliases, tags and description, as they are now."""

    name: str
    versions: dict[int, "ModelVersion"]
    aliases: dict[str, int]
    tags: dict[str, str]
    description: str = ""
    seen: dict[str, Any] = field(default_factory=dict)
    """What this workspace noted of the ledger when it last looked; see `tasks.register.seen`."""
    appended: list[str] = field(default_factory=list)
    """Hashes of the events that this process appended to the ledger, or finished."""

    def holder(self, alias: str) -> "ModelVersion | None":
        """The version with an alias, or None."""
        return self.versions.get(self.aliases.get(alias, 0))

    def note(self, alias: str) -> list[str]:
        """The versions that Gristmill noted for an alias: one, or two while it moves; empty without a note."""
        return self.tags[NOTES[alias]].split(">") if alias in NOTES and NOTES[alias] in self.tags else []

    def moved_by_hand(self, alias: str) -> bool:
        """Whether somebody else gave the alias to its version, or took it away."""
        ours, holder = self.note(alias), self.holder(alias)
        if not ours:  # of an older Gristmill, which described its champion, or of somebody else
            return holder is not None and not (holder.description or "").startswith(f"{alias}: ")
        if holder is None:
            return NONE not in ours and ours[-1] in map(str, self.versions)
        return str(holder.version) not in ours


def read_registered(client: "MlflowClient", name: str, seen: dict[str, Any] | None = None) -> Registered | None:
    """The registered model, or None if there is none; `seen` is what this workspace noted of its ledger."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    aliases = {alias: int(number) for alias, number in found.aliases.items()}
    return Registered(name, versions, aliases, dict(found.tags), found.description or "", seen or {})


def refresh(client: "MlflowClient", model: Registered) -> None:
    """Read aliases, tags and description again; known versions stay the same objects."""
    found = client.get_registered_model(model.name)
    model.aliases = {alias: int(number) for alias, number in found.aliases.items()}
    model.tags = dict(found.tags)
    model.description = found.description or ""
    if not set(model.aliases.values()) <= set(model.versions):
        for version in client.search_model_versions(f"name = '{model.name}'"):
            model.versions.setdefault(int(version.version), version)


def write_tag(write: Callable[..., None], *arguments: str) -> None:
    """Set a tag or an alias; once more if another writer has just created it, which MLflow takes for an error."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import IntegrityError

    try:
        write(*arguments)
    except (MlflowException, IntegrityError) as error:
        if not TAKEN.search(str(error)):
            raise
        write(*arguments)
