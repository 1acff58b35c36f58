"""The identity of a training: the values that its bytes follow from; a checkpoint keeps them as `identity.json`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tasks.stage.identity import fingerprint

NAMED = 4
"""Maximum number of differences to name."""
SHOWN = 60
"""Maximum characters of a value."""


@dataclass(frozen=True)
class Identity:
    """The identity of a training, whose hash names its folder of checkpoints."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Settings, hashes of the inputs, versions of code and libraries, precision; as JSON values."""
    steps: int = 0
    """Steps of the training, which `epochs` gives only together with the data."""

    @property
    def hash(self) -> str:
        """SHA-256 of the values."""
        return fingerprint(dict(self.values))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`. Raises TypeError, ValueError or KeyError for anything else."""
        return cls(dict(value["values"]), int(value["steps"]))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between the values of two trainings: `train.steps 800 → 1600, inputs.tokens/train changed`."""
    before, after = _flat(old), _flat(new)
    found = [
        f"{key} changed" if _is_hash(before.get(key)) and _is_hash(after.get(key)) else
        f"{key} {_shown(before, key)} → {_shown(after, key)}"
        for key in sorted(before.keys() | after.keys(), key=_settings_first)
        if before.get(key) != after.get(key)
    ]  # fmt: skip
    more = len(found) - NAMED
    return ", ".join(found[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _settings_first(key: str) -> tuple[bool, str]:
    return not key.startswith(("task", "model.", "train.", "sources")), key


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value, f"{before}{key}.") if isinstance(value, Mapping) and value else {f"{before}{key}": value}
        found |= inner
    return found


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16,64}", value) is not None


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values or values[key] is None:
        return "not set"
    text = json.dumps(values[key], ensure_ascii=False) if not isinstance(values[key], str) else values[key]
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
