"""What is wrong with a recipe, one line per bad key, from the errors that Pydantic reports."""

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, RootModel, ValidationError

TAGS = ("kind", "name")
"""Discriminators of unions: kinds of sources, names of optimizers."""

LONGEST = 80
"""Characters of a wrong value that a sentence repeats."""

Location = tuple[int | str, ...]

EXPECTED = {
    "string_type": "expected a string",
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "int_parsing_size": "expected an integer below 2^63",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "none_required": "expected null",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "needs at least {min_length}, has {actual_length}",
    "too_long": "takes at most {max_length}, has {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}
"""Type of an error → its sentence; the names are Pydantic's."""


def nearest(word: object, known: Iterable[str]) -> str:
    """`; did you mean X?` with the known word most like a wrong one; empty if none is similar."""
    spelled = {name.casefold(): name for name in sorted(known)}
    close = difflib.get_close_matches(str(word).casefold(), spelled, 1)
    return f"; did you mean {spelled[close[0]]}?" if close else ""


def missing(key: str, given: Any) -> str:
    """`missing`, and the key of a mapping that may stand for it."""
    close = difflib.get_close_matches(key, [str(other) for other in given if other != key], 1) if given else []
    return f"missing, but there is {close[0]}" if close else "missing"


def problems(error: ValidationError, model: type[BaseModel], content: Any, prefix: str) -> Iterator[str]:
    """`key: what is wrong`, a line per bad key of `content`, the section `prefix` that was read as `model`."""
    found: dict[str, list[str]] = {}
    places = [(_place(item, content), item) for item in error.errors()]
    for (path, labelled), item in places:
        below = any(other[: len(path)] == path != other for (other, _), _ in places)
        if below and (labelled or item["type"] == "too_short"):
            continue  # the other form of a union, or a list without its bad items: the error below says it all
        key = ".".join(filter(None, (prefix, *map(str, path))))
        if item["type"] != "value_error":
            found.setdefault(key, []).append(_sentence(item, model, prefix))
            continue
        known = _keys_at(model, item["loc"])
        for line in str(item["msg"]).removeprefix("Value error, ").splitlines():
            mark = "." if line.partition(": ")[0].partition(".")[0] in known else ": "
            yield f"{key}{mark}{line}" if key else line
    for key, sentences in found.items():
        forms = " or ".join(sentence.partition(", not ")[0].removeprefix("expected ") for sentence in sentences[:-1])
        told = f"expected {forms} or {sentences[-1].removeprefix('expected ')}" if forms else sentences[0]
        yield f"{key}: {told}" if key else told


def _place(item: Any, content: Any) -> tuple[Location, bool]:
    """The path of a key in the file, and whether Pydantic's location also names a form of a union other than a tag."""
    path: list[int | str] = []
    location, tagged, labelled = item["loc"], False, False
    for number, part in enumerate(location):
        if not tagged and isinstance(content, dict) and part in [content.get(tag) for tag in TAGS]:
            tagged = True
            continue
        tagged = False
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if number + 1 < len(location) or item["type"] != "missing":
                labelled = True
                continue
        path.append(part)
    if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
        path.append(_discriminator(item))
    return tuple(path), labelled


def _sentence(item: Any, model: type[BaseModel], prefix: str) -> str:
    context, given = item.get("ctx", {}), item["input"]
    match item["type"]:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return f"unknown key{_similar_key(model, item['loc'], prefix)}"
        case "union_tag_not_found":
            return missing(_discriminator(item), given)
        case "union_tag_invalid":
            return _one_of(context["expected_tags"], given[_discriminator(item)])
        case "literal_error":
            return _one_of(context["expected"], given)
        case kind if kind in EXPECTED:
            return EXPECTED[kind].format(**context) + _not(given)
    return str(item["msg"])


def _discriminator(item: Any) -> str:
    return str(item["ctx"]["discriminator"]).strip("'")


def _one_of(quoted: str, given: Any) -> str:
    """`quoted`: the possible values as Pydantic lists them, `'auto', 'bf16' or 'fp32'`."""
    known = quoted.replace("'", "").replace(" or ", ", ").split(", ")
    return f"expected {'one of ' if len(known) > 1 else ''}{', '.join(known)}{_not(given)}{nearest(given, known)}"


def _not(given: Any) -> str:
    """A wrong value as YAML has it; empty for a list or a mapping."""
    if isinstance(given, (dict, list)):
        return ""
    text = json.dumps(given, ensure_ascii=False)
    return f", not {text if len(text) <= LONGEST else f'{text[:LONGEST]}…'}"


def _similar_key(model: type[BaseModel], location: Location, prefix: str) -> str:
    """Where the key could belong: a similar one of its section, or the same one elsewhere."""
    wrong, here = str(location[-1]), _sections_at(model, location[:-1])
    plain = [section for section in here if not any(_tag(section, tag) for tag in TAGS)]
    if len(plain) < len(here) and wrong in _keys_at(model, location[:-1]):
        return f" beside {' and '.join(key for section in plain for key, _ in _keys(section))}"
    if similar := nearest(wrong, _keys_at(model, location[:-1]) - {wrong}):
        return similar
    if forms := [tag for tag, keys in _forms(model, location[:-1]) if wrong in keys]:
        return f" for {location[-2]}; it belongs to {', '.join(forms[:-1])}{' and ' if forms[1:] else ''}{forms[-1]}"
    elsewhere = {".".join(filter(None, (prefix, path))) for path in _paths(model) if path.split(".")[-1] == wrong}
    return f"; did you mean {elsewhere.pop()}?" if len(elsewhere) == 1 else ""


def _keys_at(model: type[BaseModel], location: Location) -> set[str]:
    """The keys of the section at a location."""
    return {key for section in _sections_at(model, location) for key, _ in _keys(section)}


def _forms(model: type[BaseModel], location: Location) -> Iterator[tuple[str, set[str]]]:
    """The forms of the union whose tag ends a location, each with its keys; none if it ends with no tag."""
    forms = [
        (str(name), {key for key, _ in _keys(section)})
        for section in _sections_at(model, location[:-1])
        for tag in TAGS
        for name in _tag(section, tag)
    ]
    if location and location[-1] in [name for name, _ in forms]:
        yield from forms


def _sections_at(model: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    """The sections at a location."""
    here = _sections(model)
    for part in location:
        tagged = [section for section in here if any(part in _tag(section, tag) for tag in TAGS)]
        below = [found for section in here for key, kind in _keys(section) if key == part for found in _sections(kind)]
        here = tagged or below or here
    return here


def _paths(model: Any) -> Iterator[str]:
    """The dotted paths of all keys of a model."""
    for section in _sections(model):
        for key, kind in _keys(section):
            yield key
            yield from (f"{key}.{path}" for path in _paths(kind))


def _keys(section: type[BaseModel]) -> list[tuple[str, Any]]:
    """The keys of a section, with their types."""
    return [(field.alias or name, field.annotation) for name, field in section.model_fields.items()]


def _tag(section: type[BaseModel], tag: str) -> tuple[Any, ...]:
    """The value of a section's discriminator; empty if it has none."""
    return get_args(section.model_fields[tag].annotation) if tag in section.model_fields else ()


def _sections(kind: Any) -> list[type[BaseModel]]:
    """The sections that a type allows."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _sections(kind.model_fields["root"].annotation) if issubclass(kind, RootModel) else [kind]
    return [found for part in get_args(kind) for found in _sections(part)]
