"""Reads evaluation texts: every string in a file, whatever its field name.

    .parquet   each string of each row is a text, including those in lists and structs
    .jsonl     the same for the values of each line
    .txt       the whole file is one text

A folder means all such files in it, recursively.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.corpus import read_shard
from tasks.formats.folders import require_no_gaps
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = (".parquet", ".jsonl", ".txt")

LINES = 10_000
"""Lines of a .jsonl file per batch."""


def texts_in(path: Path) -> "Iterator[pa.Array]":
    """All texts of a file or folder, in batches.

    Raises DataError for a damaged or unsupported file, for a folder without supported files, and for one with links to
    folders.
    """
    for file in _files(path):
        if file.suffix == ".parquet":
            for batch in read_shard(file):
                for column in batch.columns:
                    yield from _strings(column)
        else:
            yield from _decoded(file)


def _files(path: Path) -> list[Path]:
    require_no_gaps(path)
    found = sorted(file for file in path.rglob("*") if file.suffix in KINDS) if path.is_dir() else [path]
    if not found or not found[0].is_file() or found[0].suffix not in KINDS:
        raise DataError(f"{path}: no evaluation texts; expected a {', '.join(KINDS)} file or a folder of them")
    return found


def _strings(array: "pa.Array") -> "Iterator[pa.Array]":
    """All string columns nested in a column of any type."""
    import pyarrow.types as types

    kind = array.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        yield array
    elif types.is_dictionary(kind):
        yield from _strings(array.dictionary_decode())
    elif types.is_struct(kind):
        names = [field.name for field in kind]
        for name, field in zip(names, array.flatten(), strict=True):
            if not is_role(name, names):
                yield from _strings(field)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _strings(array.flatten())


def _decoded(path: Path) -> "Iterator[pa.Array]":
    import pyarrow as pa

    try:
        if path.suffix == ".txt":
            yield pa.array([path.read_text(encoding="utf-8-sig")], pa.large_string())
            return
        with path.open(encoding="utf-8-sig") as lines:
            waiting: list[str] = []
            for number, line in enumerate(lines, 1):
                try:
                    waiting += _values(json.loads(line)) if line.strip() else ()
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path} line {number}: not JSON: {error}") from error
                if number % LINES == 0:
                    yield pa.array(waiting, pa.large_string())
                    waiting = []
            yield pa.array(waiting, pa.large_string())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8") from error


def _values(value: object) -> Iterator[str]:
    """Every string in a JSON value except field names and roles; lone surrogates are replaced."""
    if isinstance(value, str):
        yield value.encode(errors="replace").decode()
    elif isinstance(value, list | dict):
        names = list(value) if isinstance(value, dict) else []
        for inner in [value[name] for name in names if not is_role(name, names)] if names else value:
            yield from _values(inner)


def is_role(name: str, names: Collection[str]) -> bool:
    """Whether a field is the role of a turn: `role` beside `content`, or `from` beside `value`."""
    return (name, "content") in (("role", each) for each in names) or (
        (name, "value") in (("from", each) for each in names)
    )
