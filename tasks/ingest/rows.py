"""A table row to the fields of a document: text, target, label or conversation; id, group and problem."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from tasks.formats.conversation import answers, questions, write_messages
from tasks.ingest.conversations import conversation_keys, read_conversation
from tasks.ingest.decoding import mend_surrogates, text_of
from tasks.ingest.source import TEXT, Documents
from tasks.stage.errors import DataError
from tasks.stage.problems import nearest

KNOWN = 50
"""Columns listed in an error message."""
LONGEST_NAME = 80
"""Characters of a column's name in an error message."""
INVISIBLE = " \t\r\n\ufeff\u200b\u00a0"
"""What tells two names apart that look the same: blanks, the byte order mark."""
FIRST = 1000
"""A column that all of so many rows leave out does not exist."""

Values = tuple[int, dict[str, Any], str | None]
"""The number of a row, its values by column, and its problem so far."""


@dataclass(frozen=True, slots=True)
class Row:
    """A table row, numbered from 1 (JSON Lines: by line; CSV: without the header)."""

    number: int
    text: str
    id: str | None
    group: str | None
    problem: str | None
    target: str | None = None
    label: str | None = None
    messages: str | None = None
    rejected: str | None = None
    cut: int = 0
    """Turns of a conversation after its last answer, which are left out."""


TWICE = object()
"""In place of what is inside a column: another column has the same name."""


def name_columns(names: Iterable[str], inside: Iterable[Any] | None = None) -> dict[str, Any]:
    """What is inside each column (None: nothing) by name, for `path_of`; TWICE for a name that comes more than once."""
    found: dict[str, Any] = {}
    for name, nested in zip(names, repeat(None) if inside is None else inside, strict=False):
        found[name] = TWICE if name in found else nested
    return found


def visible(name: str) -> str:
    """A name without what does not show at its ends."""
    return name.strip(INVISIBLE)


def columns_wanted(wanted: Documents) -> list[str]:
    """The columns that documents use, the text or what a conversation is made of first; each once."""
    said: list[str | None] = [*wanted.conversation_columns()] or [wanted.text_column, wanted.target_column]
    columns = (*said, wanted.label_column, wanted.id_column, wanted.group_column)
    return list(dict.fromkeys(column for column in columns if column is not None))


def path_of(name: str, there: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The path to a column: its name, or nested names if no column has the full name `translation.en`.

    `there`: values by column, or any mapping with the same nesting. Returns None for a missing column.
    """
    if name in there:
        return (name,)
    for dot in [place for place, sign in enumerate(name) if sign == "."][::-1]:
        inside = there.get(name[:dot])
        if isinstance(inside, Mapping) and (path := path_of(name[dot + 1 :], inside)) is not None:
            return (name[:dot], *path)
    return None


def require_column(name: str, there: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """`path_of`; raises DataError for a missing column, with the available ones, and for two of one name."""
    path = path_of(name, there)
    if path is None:
        known = {_shown(column): column for column in map(str, there)}
        more = f", … ({len(known)} in all)" if len(known) > KNOWN else ""
        inside = (f"{column}.{part}" for column in there for part in _inside(there[column]))
        alike = [shown for shown, column in known.items() if visible(column) == visible(name)]
        similar = f"; did you mean {alike[0]}?" if alike else nearest(name, [*known, *inside])
        listed = ", ".join([*known][:KNOWN]) or "none"
        advice = conversation_keys(there) if name == TEXT else ""
        raise DataError(f"{place}: no column {name!r} (available: {listed}{more}){advice or similar}")
    nested: Any = there
    for part in path:
        if twins := [other for other in map(str, nested) if other != part and visible(other) == visible(part)]:
            raise DataError(f"{place}: the columns {part!r} and {twins[0]!r} look the same; rename or remove one")
        nested = nested[part]
        if nested is TWICE:
            raise DataError(f"{place}: two columns are named {part!r}; rename or remove one of them")
    return path


def _shown(name: str) -> str:
    """A column's name in an error message."""
    short = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    return short if name.isprintable() and name == name.strip() else repr(short)


def _inside(nested: Any) -> list[str]:
    return list(map(str, nested)) if isinstance(nested, Mapping) else []


def make_row(file: str, unit: str, number: int, values: dict[str, Any], wanted: Documents, problem: str | None) -> Row:
    """A row from the values of its columns; a missing one counts as null. Raises DataError for an id that is none.

    `file` and `unit` ("row" or "line") are for messages; `problem` is a problem found earlier.
    """
    place = f"{file} {unit} {number}"
    given = {name: _value(name, values) for name in columns_wanted(wanted)}
    problems = [] if problem is None else [problem]
    target = label = messages = rejected = None
    cut = 0
    if wanted.answering is not None:
        said = read_conversation(given, wanted, place, problems)
        messages, rejected, cut = write_messages(said.messages), said.rejected, said.cut
        text, target = questions(said.messages), answers(said.messages)
        if wanted.rejected_column is not None:
            rejected = rejected or ""  # with a problem
    else:
        text = text_of(given[wanted.text_column], wanted.text_column, place, problems) or ""
        if given[wanted.text_column] is None:
            problems.append(f"no {wanted.text_column} in {place}")
        if (column := wanted.target_column) is not None:
            target = _required("target", text_of(given[column], column, place, problems), column, place, problems)
    if (column := wanted.label_column) is not None:
        label = _required("label", _label_of(given[column], column, place, problems), column, place, problems)
    key, group = (
        None if column is None else _name_of(what, given[column], column, place, problems)
        for what, column in (("id", wanted.id_column), ("group", wanted.group_column))
    )
    return Row(number, text, key, group, next(iter(problems), None), target, label, messages, rejected, cut)


def make_rows(file: str, unit: str, numbered: Iterable[Values], wanted: Documents) -> Iterator[Row]:
    """The rows of a table whose rows each name their columns: one that a row leaves out is null there.

    Raises DataError for a column that the first rows all leave out.
    """
    unseen = columns_wanted(wanted)
    first: dict[str, Any] | None = None
    for count, (number, values, problem) in enumerate(numbered, 1):
        if unseen:
            first = values if first is None else first
            unseen = [name for name in unseen if not _names(name, values)]
            if count == FIRST:
                _require_seen(unseen, first, file)
        yield make_row(file, unit, number, values, wanted, problem)
    _require_seen(unseen, first, file)


def _require_seen(unseen: list[str], first: dict[str, Any] | None, file: str) -> None:
    for name in unseen if first is not None else ():
        require_column(name, first or {}, file)


def _names(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a row has the column, or one around it that is null or has no columns."""
    return name in values or any(
        _names(name[dot + 1 :], inside) if isinstance(inside := values[name[:dot]], Mapping) else True
        for dot, sign in enumerate(name)
        if sign == "." and name[:dot] in values
    )


def _value(name: str, values: Any) -> Any:
    if name in values:
        return values[name]
    if (path := path_of(name, values)) is None:
        return None
    for part in path:
        values = values[part]
    return values


def _label_of(value: Any, column: str, place: str, problems: list[str]) -> str | None:
    """The name of a class: stripped text, `true`, `false`, or the digits of an integer."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = text_of(value, column, place, problems)
    return None if text is None else text.strip()


def _required(what: str, value: str | None, column: str, place: str, problems: list[str]) -> str | None:
    """The target, label, id or group; None and a problem if it is missing or blank."""
    if value is None or not value.strip():
        problems.append(f"no {what} in {place}: nothing in the column {column!r}")
        return None
    return value


def _name_of(what: str, value: Any, column: str, place: str, problems: list[str]) -> str | None:
    if value is None:
        return _required(what, None, column, place, problems)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{place}: {column}: expected a non-empty string or an integer, found {value!r}")
    return mend_surrogates(str(value))[0]
