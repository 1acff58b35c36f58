"""A row of a table to what a document is made of: text, target, label, id and group, and what is wrong with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.ingest.decoding import mend_surrogates, plain_newlines
from tasks.ingest.source import Documents
from tasks.stage.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; its number counts from 1 (the line, in JSON Lines; without the header, in CSV)."""

    number: int
    text: str
    id: str | None
    group: str | None
    problem: str | None
    target: str | None = None
    label: str | None = None


@dataclass
class _Problem:
    """The first thing that is wrong with a row."""

    place: str
    told: str | None

    def tell(self, sentence: str) -> None:
        """What comes later goes unsaid."""
        self.told = self.told or sentence


def columns_wanted(wanted: Documents) -> list[str]:
    """The columns that documents are made of, the text first; each once."""
    columns = (
        wanted.text_column, wanted.target_column, wanted.label_column, wanted.id_column, wanted.group_column,
    )  # fmt: skip
    return list(dict.fromkeys(column for column in columns if column is not None))


def path_of(name: str, there: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The way to a column: its name, or, for `translation.en` where no column is called so, the names on the way in.

    `there`: values by column, or whatever is nested in the same way. None where there is no such column.
    """
    if name in there:
        return (name,)
    for dot in [place for place, sign in enumerate(name) if sign == "."][::-1]:
        inside = there.get(name[:dot])
        if isinstance(inside, Mapping) and (path := path_of(name[dot + 1 :], inside)) is not None:
            return (name[:dot], *path)
    return None


def require_column(name: str, there: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """`path_of`, or a DataError with the columns that there are."""
    path = path_of(name, there)
    if path is None:
        raise DataError(f"{place}: no column {name!r} (there are: {', '.join(map(str, there)) or 'none'})")
    return path


def make_row(file: str, unit: str, number: int, values: dict[str, Any], wanted: Documents, problem: str | None) -> Row:
    """A row out of the values of its columns. Raises DataError where one of the columns is not there.

    `file` and `unit` ("row" or "line") are words for messages; `problem` is what is known to be wrong already.
    """
    place = f"{file} {unit} {number}"
    given = {name: _value(name, values, place) for name in columns_wanted(wanted)}
    first = _Problem(place, problem)
    text = _text_of(given[wanted.text_column], wanted.text_column, first)
    if text is None:
        first.tell(f"no {wanted.text_column} in {place}")
    target = label = None
    if (column := wanted.target_column) is not None:
        target = _required("target", _text_of(given[column], column, first), column, first)
    if (column := wanted.label_column) is not None:
        label = _required("label", _label_of(given[column], column, first), column, first)
    key, group = (
        None if column is None else _name_of(given[column], column, place)
        for column in (wanted.id_column, wanted.group_column)
    )
    return Row(number, text or "", key, group, first.told, target, label)


def _value(name: str, values: dict[str, Any], place: str) -> Any:
    if name in values:
        return values[name]
    if path_of(name, values) is None and any(name[:dot] in values for dot, sign in enumerate(name) if sign == "."):
        return None  # the column is there, and this row has nothing of that name in it
    for part in require_column(name, values, place):
        values = values[part]
    return values


def _text_of(value: Any, column: str, problem: _Problem) -> str | None:
    """A text that can be written as UTF-8, whatever stands there; None for nothing."""
    if value is None:
        return None
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            problem.tell(f"not UTF-8 at byte {error.start} of {column} in {problem.place}")
            value = value.decode("utf-8", "replace")
    elif not isinstance(value, str):
        problem.tell(f"{column} is no text, but {type(value).__name__}, in {problem.place}")
        value = json.dumps(value, ensure_ascii=False, default=str)
    text, wrong = mend_surrogates(value)
    if wrong is not None:
        problem.tell(f"lone surrogate at character {wrong} of {column} in {problem.place}")
    return plain_newlines(text)


def _label_of(value: Any, column: str, problem: _Problem) -> str | None:
    """The name of a class: a text without blanks around it, `true`, `false`, or the digits of a whole number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = _text_of(value, column, problem)
    return None if text is None else text.strip()


def _required(what: str, value: str | None, column: str, problem: _Problem) -> str | None:
    """A target or a label as it is; nothing, or only blanks, is a problem of the document."""
    if value is None or not value.strip():
        problem.tell(f"no {what} in {problem.place}: nothing in the column {column!r}")
        return None
    return value


def _name_of(value: Any, column: str, place: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{place}: {column}: expected a text or a whole number, found {value!r}")
    return mend_surrogates(str(value))[0]
