"""Bytes of a file to a text or to rows, as a stream: plain, gzip or zstd; .txt .md .jsonl .csv .parquet."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tasks.contract.errors import DataError
from tasks.ingest.decoding import Lines, escape, mend_surrogates, plain_newlines
from tasks.ingest.source import Documents

TEXTS = (".txt", ".md")
TABLES = (".jsonl", ".csv", ".parquet")
PACKED = (".gz", ".zst")
FIELD_LIMIT = (1 << 31) - 1
"""Characters of a CSV field; the csv module stops at 131,072 by itself."""
PARQUET_ROWS = 1024
"""Rows of a Parquet file held in memory at a time."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its name inside it (for ids and messages), and where it lies."""

    name: str
    path: Path

    @property
    def format(self) -> str:
        """`.md` for `a/b.md.gz`. Raises DataError for a file that no reader knows."""
        suffixes = [suffix.lower() for suffix in PurePosixPath(self.name).suffixes[-2:]]
        packed = bool(suffixes) and suffixes[-1] in PACKED
        form = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
        if form[0] not in (*TEXTS, *TABLES) or (packed and form[0] == ".parquet"):
            raise DataError(
                f"{self.name}: no reader for this file (there are: {' '.join(TEXTS + TABLES)}, all but the last also "
                f"with {' or '.join(PACKED)})"
            )
        return form[0]

    @property
    def stem(self) -> str:
        """The name without folders and suffixes: `hamlet` for `plays/hamlet.md.gz`."""
        name = PurePosixPath(self.name)
        return PurePosixPath(name.stem).stem if name.suffix.lower() in PACKED else name.stem


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; its number counts from 1 (the line, in JSON Lines; without the header, in CSV)."""

    number: int
    text: str
    id: str | None
    group: str | None
    problem: str | None


def read_text(file: SourceFile) -> str:
    """All of a text file, wrong bytes escaped (see `decoding.unescape`), line ends as they are."""
    with _open(file) as stream:
        return escape(stream.read())


def read_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    """The rows of a table, in order. Raises DataError where the file is damaged or lacks a column."""
    match file.format:
        case ".jsonl":
            return _jsonl_rows(file, wanted)
        case ".csv":
            return _csv_rows(file, wanted)
        case _:
            return _parquet_rows(file, wanted)


def columns_wanted(wanted: Documents) -> list[str]:
    """The columns that documents are made of, the text first."""
    return [name for name in (wanted.text_column, wanted.id_column, wanted.group_column) if name is not None]


def make_row(file: str, unit: str, number: int, values: dict[str, Any], wanted: Documents, problem: str | None) -> Row:
    """A row out of the values of its columns. Raises DataError where one of the columns is not there.

    `file` and `unit` ("row" or "line") are words for messages; `problem` is what is known to be wrong already.
    """
    place = f"{file} {unit} {number}"
    text: Any = values[_present(wanted.text_column, values, place)]
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            problem = problem or f"not UTF-8 at byte {error.start} of {wanted.text_column} in {place}"
            text = text.decode("utf-8", "replace")
    if text is None:
        problem, text = problem or f"no {wanted.text_column} in {place}", ""
    elif not isinstance(text, str):
        problem = problem or f"{wanted.text_column} is no text, but {type(text).__name__}, in {place}"
        text = json.dumps(text, ensure_ascii=False, default=str)
    text, wrong = mend_surrogates(text)
    if wrong is not None:
        problem = problem or f"lone surrogate at character {wrong} of {wanted.text_column} in {place}"
    names = {}
    for name in columns_wanted(wanted)[1:]:
        names[name] = _name_of(values[_present(name, values, place)], name, place)
    return Row(
        number,
        plain_newlines(text),
        names[wanted.id_column] if wanted.id_column is not None else None,
        names[wanted.group_column] if wanted.group_column is not None else None,
        problem,
    )


def _present(name: str, values: dict[str, Any], place: str) -> str:
    if name not in values:
        raise DataError(f"{place}: no column {name!r} (there are: {', '.join(map(str, values)) or 'none'})")
    return name


def _name_of(value: Any, column: str, place: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{place}: {column}: expected a text or a whole number, found {value!r}")
    return mend_surrogates(str(value))[0]


def _jsonl_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    with _open(file) as stream:
        lines = Lines(stream)
        for number, line in enumerate(lines, 1):
            wrong = lines.wrong_byte()
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file.name} line {number}: not valid JSON: {error}") from error
            if not isinstance(values, dict):
                raise DataError(f"{file.name} line {number}: expected a JSON object, found {type(values).__name__}")
            yield make_row(file.name, "line", number, values, wanted, _not_utf8(wrong, file))


def _csv_rows(file: SourceFile, wanted: Documents) -> Iterator[Row]:
    import csv

    csv.field_size_limit(FIELD_LIMIT)
    with _open(file) as stream:
        lines = Lines(stream)
        reader = csv.reader(lines, strict=True)
        number = 0
        try:
            header = next(reader, [])
            for name in columns_wanted(wanted):
                _present(name, dict.fromkeys(header), file.name)
            lines.wrong_byte()
            for fields in reader:
                if not fields:
                    continue
                number += 1
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

    names = list(dict.fromkeys(columns_wanted(wanted)))
    number = 0
    try:
        table = pq.ParquetFile(file.path)
        for name in names:
            _present(name, dict.fromkeys(table.schema_arrow.names), file.name)
        for batch in table.iter_batches(PARQUET_ROWS, columns=names):
            values = [_parquet_values(batch.column(name)) for name in names]
            for row in zip(*values, strict=True):
                number += 1
                yield make_row(file.name, "row", number, dict(zip(names, row, strict=True)), wanted, None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: damaged after row {number}: {error}") from error


def _parquet_values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())  # decoded row by row, so that a wrong byte costs one row only
    return column.to_pylist()


def _not_utf8(wrong: int | None, file: SourceFile) -> str | None:
    return None if wrong is None else f"not UTF-8 at byte {wrong} of {file.name}"


@contextmanager
def _open(file: SourceFile) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked. Raises DataError where it cannot be read or is cut off."""
    import gzip

    import zstandard

    try:
        with file.path.open("rb") as raw:
            if file.name.lower().endswith(".gz"):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            elif file.name.lower().endswith(".zst"):
                with _unzstd(raw) as stream:
                    yield stream
            else:
                yield raw
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{file.name}: cannot be read, damaged or cut off: {error}") from error


def _unzstd(raw: BinaryIO) -> BinaryIO:
    import io

    import zstandard

    class Frames(io.RawIOBase):
        """Reads frame after frame; zstandard's own reader takes a cut-off frame for a whole one."""

        def __init__(self) -> None:
            self.frame: Any = None
            self.ready = memoryview(b"")

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            while not self.ready:
                data = raw.read(1 << 16)
                if not data:
                    if self.frame is not None:
                        raise EOFError("the zstd frame has no end")
                    return 0
                self.ready = memoryview(self.unpack(data))
            size = min(len(buffer), len(self.ready))
            buffer[:size], self.ready = self.ready[:size], self.ready[size:]
            return size

        def unpack(self, data: bytes) -> bytes:
            out = []
            while data:
                self.frame = self.frame or zstandard.ZstdDecompressor().decompressobj()
                out.append(self.frame.decompress(data))
                data = b""
                if self.frame.eof:
                    data, self.frame = self.frame.unused_data, None
            return b"".join(out)

    return io.BufferedReader(Frames(), 1 << 20)
