"""File bytes to text or rows, streamed: text, source code, .jsonl .json .csv .tsv .parquet, plain or compressed."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tasks.fetch.compressed import DAMAGED, PACKED, PIECE, Pieces, opened
from tasks.ingest.decoding import Lines, escape, escaped_lines
from tasks.ingest.encodings import SAMPLE, foreign_encoding, no_text, not_valid, recoded
from tasks.ingest.json_records import DECODER, json_problem, json_records
from tasks.ingest.parquet import parquet_rows
from tasks.ingest.rows import Row, Values, columns_wanted, make_row, make_rows, name_columns, require_column, visible
from tasks.ingest.source import Bench, Documents, require_length
from tasks.stage.errors import DataError

TEXTS = (".txt", ".md")
TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
LINES = "lines"
"""Format of a text file whose lines are rows (`documents.row_pattern`), whatever its suffix."""
SAME = {".markdown": ".md", ".ndjson": ".jsonl"}
PLAIN = (
    "text log rst adoc org tex bib html htm xhtml xml css scss less yaml yml toml ini cfg conf "
    "py pyi pyx ipynb r rmd jl m f for f90 f95 c h cc hh cpp hpp cxx hxx cu cuh cs java kt "
    "kts scala groovy go rs zig nim d swift mm dart js mjs cjs jsx ts tsx vue svelte php rb pl "
    "pm lua tcl sh bash zsh fish ps1 bat sql hs ml mli fs elm ex exs erl hrl clj cljs lisp el "
    "scm rkt pro v sv vhd vhdl asm s pas ada adb ads vb cob cmake gradle proto graphql tf"
)
"""Source code and markup, read as text; so are names without a suffix, such as `Makefile`."""
_KEY = "ingest.documents.delimiter"
FIELD_LIMIT = (1 << 31) - 1
"""Maximum characters of a CSV field; the csv module's default is 131,072."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its name within the source (for ids and messages) and its path."""

    name: str
    path: Path

    @property
    def format(self) -> str:
        """One of TEXTS and TABLES: `.md` for `a/b.md.gz`. Raises DataError for an unsupported format."""
        name = PurePosixPath(self.name.lower())
        packed = name.suffix in PACKED
        suffix = PurePosixPath(name.stem).suffix if packed else name.suffix
        form = SAME.get(suffix, ".txt" if suffix[1:] in PLAIN.split() else suffix)
        if not suffix and not packed and not name.name.startswith("."):
            return ".txt"
        if form not in (*TEXTS, *TABLES) or (packed and form == ".parquet"):
            raise DataError(
                f"{self.name}: unsupported format (supported: {' '.join(TEXTS + TABLES[:-1])} and source code, also "
                f"with {' '.join(PACKED)}; {TABLES[-1]})"
            )
        return form

    @property
    def stem(self) -> str:
        """The name without folders and suffixes: `hamlet` for `plays/hamlet.md.gz`."""
        name = PurePosixPath(self.name)
        return PurePosixPath(name.stem).stem if name.suffix.lower() in PACKED else name.stem


def format_of(file: SourceFile, wanted: Documents) -> str:
    """LINES where the recipe has a pattern for rows, else the file's own format. Raises DataError as `format`."""
    return file.format if wanted.row_pattern is None else LINES


def is_text(file: SourceFile, wanted: Documents) -> bool:
    """Whether a file is a text, or several, not a table. Raises DataError as `format`."""
    return format_of(file, wanted) in TEXTS


def read_text(file: SourceFile, wanted: Documents) -> str:
    """A whole text file, invalid bytes escaped (see `decoding.unescape`), line endings unchanged.

    Raises DataError as soon as it exceeds the length of a document.
    """
    content = bytearray()
    with open_utf8(file, wanted) as stream:
        while piece := stream.read(PIECE):
            content += piece
            require_length(len(content), file.name)
    return escape(content)


def read_lines(file: SourceFile, wanted: Documents) -> Iterator[str]:
    """The lines of a text file, one at a time, invalid bytes escaped."""
    with open_utf8(file, wanted) as stream:
        yield from escaped_lines(stream, file.name)


def read_rows(file: SourceFile, wanted: Documents, bench: Bench | None = None) -> Iterator[Row]:
    """The rows of a table, in order. Raises DataError for a damaged file or a missing column.

    `bench`: where lines that are no rows are counted.
    """
    match format_of(file, wanted):
        case "lines":
            return make_rows(file.name, "line", _line_values(file, wanted, bench), wanted)
        case ".jsonl":
            return make_rows(file.name, "line", _jsonl_values(file, wanted), wanted)
        case ".json":
            return make_rows(file.name, "row", _json_values(file, wanted), wanted)
        case ".csv" | ".tsv":
            return _csv_rows(file, wanted)
        case _:
            return parquet_rows(file.path, file.name, wanted)


def _line_values(file: SourceFile, wanted: Documents, bench: Bench | None) -> Iterator[Values]:
    """The lines that match `row_pattern`. Raises DataError if none does."""
    assert wanted.row_pattern is not None
    pattern, matched = re.compile(wanted.row_pattern), False
    with open_utf8(file, wanted) as stream:
        lines = Lines(stream, file.name)
        for number, line in enumerate(lines, 1):
            wrong = lines.wrong_byte()
            if (match := pattern.search(line.rstrip("\r\n"))) is None:
                if bench is not None:
                    bench.count("lines_without_a_row")
                continue
            matched = True
            values = match.groupdict()
            for old, new in wanted.row_replace.items():
                values = {name: text and text.replace(old, new) for name, text in values.items()}
            yield number, values, _problem(wrong, file, wanted)
    if not matched:
        raise DataError(f"{file.name}: no line matches documents.row_pattern, {wanted.row_pattern!r}")


def _jsonl_values(file: SourceFile, wanted: Documents) -> Iterator[Values]:
    with open_utf8(file, wanted) as stream:
        lines = Lines(stream, file.name)
        for number, line in enumerate(lines, 1):
            wrong = lines.wrong_byte()
            if not line.strip():
                continue
            try:
                values = DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                lines_only = (
                    "; a .jsonl file has one object per line" if isinstance(error, json.JSONDecodeError) else ""
                )
                told = f"{json_problem(error)}{lines_only}"
                raise DataError(f"{file.name} line {number}: not valid JSON: {told}") from error
            if isinstance(values, list):
                raise DataError(f"{file.name} line {number}: expected a JSON object, found list; end its name in .json")
            yield number, _of_object(values, f"{file.name} line {number}"), _problem(wrong, file, wanted)


def _json_values(file: SourceFile, wanted: Documents) -> Iterator[Values]:
    number = 0
    try:
        with open_utf8(file, wanted) as stream:
            for number, (values, wrong) in enumerate(json_records(stream, file.name), 1):
                yield number, _of_object(values, f"{file.name} row {number}"), _problem(wrong, file, wanted)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} row {number + 1}: not valid JSON: {json_problem(error)}") from error


def _of_object(values: Any, place: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"{place}: expected a JSON object, found {type(values).__name__}")
    return values


def _csv_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    csv.field_size_limit(FIELD_LIMIT)
    delimiter = wanted.delimiter or ("\t" if file.format == ".tsv" else ",")
    with open_utf8(file, wanted) as stream:
        lines = Lines(stream, file.name)
        reader = csv.reader(lines, strict=True, delimiter=delimiter)
        number = 0
        try:
            header = next(filter(None, reader), [])
            _require_columns(header, file.name, wanted, delimiter, lines.wrong_byte())
            for number, fields in enumerate(filter(None, reader), 1):
                if len(fields) != len(header):
                    counted = f"{len(fields)} fields, but {len(header)} columns"
                    raise DataError(f"{file.name} row {number} (line {reader.line_num}): {counted}")
                if len(header) > 1 and visible(fields[0]) == visible(header[0]) and fields[1:] == header[1:]:
                    again = "the header again; were tables joined? Remove this line"
                    raise DataError(f"{file.name} row {number} (line {reader.line_num}): {again}")
                values = dict(zip(header, fields, strict=True))
                yield make_row(file.name, "row", number, values, wanted, _problem(lines.wrong_byte(), file, wanted))
        except csv.Error as error:
            raise DataError(f"{file.name} row {number + 1} (line {reader.line_num}): {error}") from error


def _require_columns(header: list[str], name: str, wanted: Documents, delimiter: str, wrong: int | None) -> None:
    """Raises DataError for a column that is missing, or not the only one of its name."""
    if not header:
        raise DataError(f"{name}: empty, not even a header")
    line, text = delimiter.join(header), columns_wanted(wanted)[0]
    if text not in header:
        if line.startswith("sep="):
            raise DataError(f"{name}: begins with {line!r}, a line for Excel; remove it, and set {_KEY}: {line[4:5]!r}")
        for sign in ";\t|,":
            if sign in line and (len(header) == 1 or text in line.split(sign)):
                raise DataError(
                    f"{name}: no column {text!r}, but {line[:100]!r}; if {sign!r} separates columns, set "
                    f"{_KEY}: {json.dumps(sign)}"
                )
    for column in columns_wanted(wanted):
        if column not in header and wrong is not None:
            raise DataError(
                f"{name}: no column {column!r}, but the header is {not_valid(wrong, name, wanted.encoding)}; set "
                "ingest.documents.encoding, such as cp1252"
            )
        require_column(column, name_columns(header), name)


def _problem(wrong: int | None, file: SourceFile, wanted: Documents) -> str | None:
    return None if wrong is None else not_valid(wrong, file.name, wanted.encoding)


@contextmanager
def open_utf8(file: SourceFile, wanted: Documents) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file, in UTF-8. Raises DataError if it is unreadable, truncated or in an encoding
    that has to be named."""
    try:
        with opened(file.path, file.name) as stream:
            sample = stream.peek(SAMPLE)[:SAMPLE]
            if (other := no_text(sample)) is not None:
                raise DataError(f"{file.name}: {other}")
            if wanted.encoding is not None:
                yield cast(BinaryIO, io.BufferedReader(Pieces(recoded(stream, wanted.encoding)), PIECE))
                return
            if (found := foreign_encoding(sample)) is not None:
                raise DataError(
                    f"{file.name}: not UTF-8, but apparently {found}; set ingest.documents.encoding: {found}, or "
                    "convert the file"
                )
            yield cast(BinaryIO, stream)
    except DAMAGED as error:
        raise DataError(f"{file.name}: unreadable, damaged or truncated: {error}") from error
