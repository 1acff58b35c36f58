"""File bytes to text or rows, streamed: .txt .md .jsonl .csv .parquet, plain or compressed with gzip or zstd."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tasks.ingest.decoding import Lines, escape
from tasks.ingest.rows import Row, columns_wanted, make_row, name_columns, require_column
from tasks.ingest.source import Documents, require_length
from tasks.stage.errors import DataError

TEXTS = (".txt", ".md")
TABLES = (".jsonl", ".csv", ".parquet")
PACKED = (".gz", ".zst")
FIELD_LIMIT = (1 << 31) - 1
"""Maximum characters of a CSV field; the csv module's default is 131,072."""
PARQUET_ROWS = 1024
"""Rows of a Parquet file in memory at a time."""
PIECE = 1 << 20
"""Bytes of a text file read at a time."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"two values for {twice!r} in one object")
    return found


DECODE = json.JSONDecoder(object_pairs_hook=_object).decode
"""JSON with each key at most once in an object: of two values, `json.loads` would keep the second."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its name within the source (for ids and messages) and its path."""

    name: str
    path: Path

    @property
    def format(self) -> str:
        """`.md` for `a/b.md.gz`. Raises DataError for an unsupported format."""
        suffixes = [suffix.lower() for suffix in PurePosixPath(self.name).suffixes[-2:]]
        packed = bool(suffixes) and suffixes[-1] in PACKED
        form = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
        if form[0] not in (*TEXTS, *TABLES) or (packed and form[0] == ".parquet"):
            raise DataError(
                f"{self.name}: unsupported format (supported: {' '.join(TEXTS + TABLES)}; all but the last also "
                f"with {' or '.join(PACKED)})"
            )
        return form[0]

    @property
    def stem(self) -> str:
        """The name without folders and suffixes: `hamlet` for `plays/hamlet.md.gz`."""
        name = PurePosixPath(self.name)
        return PurePosixPath(name.stem).stem if name.suffix.lower() in PACKED else name.stem


def read_text(file: SourceFile, in_parts: bool) -> str:
    """A whole text file, invalid bytes escaped (see `decoding.unescape`), line endings unchanged.

    Unless the file is split (`in_parts`), raises DataError as soon as it exceeds the length of a document.
    """
    content = bytearray()
    with _open(file) as stream:
        while piece := stream.read(PIECE):
            content += piece
            if not in_parts:
                require_length(len(content), file.name)
    return escape(content)


def read_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    """The rows of a table, in order. Raises DataError for a damaged file or a missing column."""
    match file.format:
        case ".jsonl":
            return _jsonl_rows(file, wanted)
        case ".csv":
            return _csv_rows(file, wanted)
        case _:
            return _parquet_rows(file, wanted)


def _jsonl_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    with _open(file) as stream:
        lines = Lines(stream)
        for number, line in enumerate(lines, 1):
            wrong = lines.wrong_byte()
            if not line.strip():
                continue
            try:
                values = DECODE(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file.name} line {number}: not valid JSON: {error}") from error
            if not isinstance(values, dict):
                raise DataError(f"{file.name} line {number}: expected a JSON object, found {type(values).__name__}")
            yield make_row(file.name, "line", number, values, wanted, _not_utf8(wrong, file))


def _csv_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    csv.field_size_limit(FIELD_LIMIT)
    with _open(file) as stream:
        lines = Lines(stream)
        reader = csv.reader(lines, strict=True)
        number = 0
        try:
            header = next(reader, [])
            for name in columns_wanted(wanted):
                require_column(name, name_columns(header), file.name)
            lines.wrong_byte()
            for number, fields in enumerate(filter(None, reader), 1):
                if len(fields) != len(header):
                    counted = f"{len(fields)} fields, but {len(header)} columns"
                    raise DataError(f"{file.name} row {number} (line {reader.line_num}): {counted}")
                values = dict(zip(header, fields, strict=True))
                yield make_row(file.name, "row", number, values, wanted, _not_utf8(lines.wrong_byte(), file))
        except csv.Error as error:
            raise DataError(f"{file.name} row {number + 1} (line {reader.line_num}): {error}") from error


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


def _not_utf8(wrong: int | None, file: SourceFile) -> str | None:
    return None if wrong is None else f"not UTF-8 at byte {wrong} of {file.name}"


@contextmanager
def _open(file: SourceFile) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file. Raises DataError if it is unreadable or truncated."""
    import zstandard

    try:
        with file.path.open("rb") as raw:
            if file.name.lower().endswith(".gz"):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            elif file.name.lower().endswith(".zst"):
                yield io.BufferedReader(_Pieces(_unzstd(raw)), 1 << 20)
            else:
                yield raw
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{file.name}: unreadable, damaged or truncated: {error}") from error


class _Pieces(io.RawIOBase):
    """A stream of the bytes in an iterator of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.ready = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            if (piece := next(self.pieces, None)) is None:
                return 0
            self.ready = memoryview(piece)
        size = min(len(buffer), len(self.ready))
        buffer[:size], self.ready = self.ready[:size], self.ready[size:]
        return size


def _unzstd(raw: BinaryIO) -> Iterator[bytes]:
    """Decompress frame after frame; zstandard's own reader accepts a truncated frame as complete."""
    import zstandard

    frame = None
    while data := raw.read(1 << 16):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(data)
            data = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("truncated zstd frame")
