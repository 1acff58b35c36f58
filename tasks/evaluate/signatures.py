"""What a score travels with: `key:value|…`, as sacrebleu writes it. Scores are comparable where it is equal."""

from collections.abc import Mapping


def write_signature(parts: Mapping[str, object]) -> str:
    """The parts in their order; in values `|` becomes `;` and `:` becomes `=`, so that a signature can hold another."""
    return "|".join(f"{key}:{_value(value)}" for key, value in parts.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text.replace("|", ";").replace(":", "=")
