"""Signatures in sacrebleu's format, `key:value|…`: scores are comparable if their signatures are equal."""

from collections.abc import Mapping


def write_signature(parts: Mapping[str, object]) -> str:
    """The signature of `parts`, in order; in values, `|` becomes `;` and `:` becomes `=`, so signatures can nest."""
    return "|".join(f"{key}:{_value(value)}" for key, value in parts.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text.replace("|", ";").replace(":", "=")
