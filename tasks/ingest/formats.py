"""File bytes to text or rows, streamed: text, source code, .jsonl .json .csv .tsv .parquet, plain or compressed."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tasks.fetch.compressed import DAMAGED, PACKED, PIECE, Pieces, opened
from tasks.ingest.decoding import Lines, escape, escaped_lines
from tasks.ingest.encodings import SAMPLE, foreign_encoding, not_valid, recoded
from tasks.ingest.json_records import DECODER, json_records
from tasks.ingest.rows import Row, Values, columns_wanted, make_row, make_rows, name_columns, require_column
from tasks.ingest.source import Documents, require_length
from tasks.stage.errors import DataError

TEXTS = (".txt", ".md")
TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
SAME = {".markdown": ".md", ".ndjson": ".jsonl"}
PLAIN = (
    "text log rst adoc org tex bib html htm xhtml xml css scss less yaml yml toml ini cfg conf "
    "py pyi pyx ipynb r rmd jl m f for f90 f95 c h cc hh cpp hpp cxx hxx cu cuh cs java kt "
    "kts scala groovy go rs zig nim d swift mm dart js mjs cjs jsx ts tsx vue svelte php rb pl "
    "pm lua tcl sh bash zsh fish ps1 bat sql hs ml mli fs elm ex exs erl hrl clj cljs lisp el "
    "scm rkt pro v sv vhd vhdl asm s pas ada adb ads vb cob cmake gradle proto graphql tf"
)
"""Source code and markup, read as text; so are names without a suffix, such as `Makefile`."""
FIELD_LIMIT = (1 << 31) - 1
"""Maximum characters of a CSV field; the csv module's default is 131,072."""
PARQUET_ROWS = 1024
"""Rows of a Parquet file in memory at a time."""


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


def read_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    """The rows of a table, in order. Raises DataError for a damaged file or a missing column."""
    match file.format:
        case ".jsonl":
            return make_rows(file.name, "line", _jsonl_values(file, wanted), wanted)
        case ".json":
            return make_rows(file.name, "row", _json_values(file, wanted), wanted)
        case ".csv" | ".tsv":
            return _csv_rows(file, wanted)
        case _:
            return _parquet_rows(file, wanted)


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
                raise DataError(f"{file.name} line {number}: not valid JSON: {error}") from error
            yield number, _of_object(values, f"{file.name} line {number}"), _problem(wrong, file, wanted)


def _json_values(file: SourceFile, wanted: Documents) -> Iterator[Values]:
    number = 0
    try:
        with open_utf8(file, wanted) as stream:
            for number, (values, wrong) in enumerate(json_records(stream, file.name), 1):
                yield number, _of_object(values, f"{file.name} row {number}"), _problem(wrong, file, wanted)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} row {number + 1}: not valid JSON: {error}") from error


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
            header = next(reader, [])
            _require_columns(header, file.name, wanted)
            lines.wrong_byte()
            for number, fields in enumerate(filter(None, reader), 1):
                if len(fields) != len(header):
                    counted = f"{len(fields)} fields, but {len(header)} columns"
                    raise DataError(f"{file.name} row {number} (line {reader.line_num}): {counted}")
                values = dict(zip(header, fields, strict=True))
                yield make_row(file.name, "row", number, values, wanted, _problem(lines.wrong_byte(), file, wanted))
        except csv.Error as error:
            raise DataError(f"{file.name} row {number + 1} (line {reader.line_num}): {error}") from error


def _require_columns(header: list[str], name: str, wanted: Documents) -> None:
    """Raises DataError for a column that is missing, or not the only one of its name."""
    signs = [sign for sign in ";\t|," if sign in header[0]] if len(header) == 1 else []
    if signs and wanted.text_column not in header:
        raise DataError(
            f"{name}: one column, {header[0][:100]!r}; if {signs[0]!r} separates columns, set "
            f"ingest.documents.delimiter: {json.dumps(signs[0])}"
        )
    for column in columns_wanted(wanted):
        require_column(column, name_columns(header), name)


def _parquet_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        table = pq.ParquetFile(file.path)
        there = nested_names(table.schema_arrow)
        paths = {name: require_column(name, there, file.name) for name in columns_wanted(wanted)}
        for batch in table.iter_batches(PARQUET_ROWS, columns=list({path[0]: None for path in paths.values()})):
            values = [_parquet_values(batch, path) for path in paths.values()]
            for row in zip(*values, strict=True):
                number += 1
                yield make_row(file.name, "row", number, dict(zip(paths, row, strict=True)), wanted, None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: damaged after row {number}: {error}") from error


def nested_names(fields: Iterable[Any]) -> dict[str, Any]:
    """Names of Arrow fields, nested under each struct, for `rows.path_of`."""
    import pyarrow as pa

    known = list(fields)
    inside = (nested_names(field.type) if pa.types.is_struct(field.type) else None for field in known)
    return name_columns((field.name for field in known), inside)


def _parquet_values(batch: Any, path: tuple[str, ...]) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.column(path[0])
    for name in path[1:]:
        column = pc.struct_field(column, name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())  # decode row by row: an invalid byte affects one row only
    return column.to_pylist()


def _problem(wrong: int | None, file: SourceFile, wanted: Documents) -> str | None:
    return None if wrong is None else not_valid(wrong, file.name, wanted.encoding)


@contextmanager
def open_utf8(file: SourceFile, wanted: Documents) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file, in UTF-8. Raises DataError if it is unreadable, truncated or in an encoding
    that has to be named."""
    try:
        with opened(file.path, file.name) as stream:
            if wanted.encoding is not None:
                yield cast(BinaryIO, io.BufferedReader(Pieces(recoded(stream, wanted.encoding)), PIECE))
                return
            if (found := foreign_encoding(stream.peek(SAMPLE)[:SAMPLE])) is not None:
                raise DataError(
                    f"{file.name}: not UTF-8, but apparently {found}; set ingest.documents.encoding: {found}, or "
                    "convert the file"
                )
            yield cast(BinaryIO, stream)
    except DAMAGED as error:
        raise DataError(f"{file.name}: unreadable, damaged or truncated: {error}") from error
