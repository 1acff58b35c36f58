"""Keys of a recipe with other values, dotted: `train.learning_rate`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.stage.redact import redact_all

SILENT = ("description",)
"""Keys that change nothing in a model."""


@dataclass(frozen=True)
class Setting:
    """A key with its old and its new value as JSON; None: not written, so the default holds."""

    key: str
    old: str | None
    new: str | None


def find_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The keys that differ, in the order of the new recipe; of lists, only the items that differ."""
    before, after = _flat(redact_all(dict(old))), _flat(redact_all(dict(new)))
    return tuple(
        Setting(key, *_shown(before.get(key, _NOTHING), after.get(key, _NOTHING)))
        for key in dict.fromkeys((*after, *before))
        if key not in SILENT and before.get(key, _NOTHING) != after.get(key, _NOTHING)
    )


_NOTHING = object()


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            found |= _flat(item, f"{prefix}{key}.")
        elif names := _names(item):
            own = {name: {k: v for k, v in each.items() if k != "name"} for name, each in zip(names, item, strict=True)}
            found |= {f"{prefix}{key}": names} | _flat(own, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = item
    return found


def _names(item: Any) -> list[str]:
    """The names of a list whose items have one each, such as the sources of a mixture; empty for any other value."""
    named = isinstance(item, list) and all(isinstance(each, Mapping) and "name" in each for each in item)
    names = [str(each["name"]) for each in item] if named else []
    return names if len(set(names)) == len(names) else []


def _shown(old: Any, new: Any) -> tuple[str | None, str | None]:
    if isinstance(old, list) and isinstance(new, list):
        gone, come = [item for item in old if item not in new], [item for item in new if item not in old]
        if gone or come:  # else the order or the number differs, which only the whole lists show
            kept = len(old) - len(gone)
            return _items(gone, kept), _items(come, kept)
    return _json(old), _json(new)


def _items(items: list[Any], kept: int) -> str:
    told = ", ".join(_text(item) for item in items) or "nothing more"
    return f"{told}, and {kept} that both have" if kept else told


def _json(value: Any) -> str | None:
    return None if value is _NOTHING else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
