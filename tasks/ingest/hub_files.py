"""What `datasets` does not tell of the files of a dataset: two columns or keys of one name, and bombs.

It renames the second column of a CSV, keeps the last of two keys in a JSON array, and unpacks whatever comes.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from tasks.fetch.compressed import DAMAGED, PACKED, PIECE, Bound, Pieces, opened
from tasks.ingest.decoding import Lines, escaped_lines
from tasks.ingest.encodings import recoded
from tasks.ingest.json_records import TwiceError, json_records
from tasks.ingest.parquet import nested_names, require_bounded
from tasks.ingest.rows import FIRST, columns_wanted, name_columns, path_of, require_column
from tasks.ingest.source import Documents
from tasks.stage.errors import DataError


def require_told(builder: Any, split: str, wanted: Documents, whole: bool) -> None:
    """Raises DataError for what `datasets` would read in silence in the files of a split; of files whose rows have to
    be read for it, only the first rows unless `whole`. Damage is left to `datasets` to tell."""
    kind = type(builder).__module__.rpartition(".")[2]
    for file in _files(builder, split):
        local = "://" not in file
        name = (
            Path(file).relative_to(Path.cwd()).as_posix() if local and Path(file).is_relative_to(Path.cwd()) else file
        )
        suffixes = Path(file).suffixes
        try:
            if local and suffixes[-1:] == [".zip"]:
                with zipfile.ZipFile(file) as archive:
                    Bound(name, Path(file).stat().st_size).spend(sum(info.file_size for info in archive.infolist()))
            elif kind == "csv":
                with _stream(file, name) as stream:
                    _require_header(stream, name, builder.config, wanted)
            elif kind == "json" and (
                local or ".json" in suffixes or any("." in each for each in columns_wanted(wanted))
            ):
                with _stream(file, name) as stream:
                    _require_keys(_as_utf8(stream, builder.config.encoding), name, None if whole else FIRST)
            elif kind == "parquet" and local and whole:
                _require_bounded(Path(file), name, wanted)
            if local and whole and kind != "json" and suffixes[-1:] and suffixes[-1].lower() in PACKED:
                with _stream(file, name) as stream:
                    for _ in escaped_lines(stream, name):
                        pass
        except (*DAMAGED, ValueError, zipfile.BadZipFile):
            continue


def _files(builder: Any, split: str) -> list[str]:
    """The data files of a split, or of several (`train+test`)."""
    known = {str(name): files for name, files in (builder.config.data_files or {}).items()}
    names = [name.partition("[")[0] for name in split.split("+")]
    return [str(file) for name, files in known.items() if name in names or split == "all" for file in files]


def _stream(file: str, name: str) -> AbstractContextManager[Any]:
    """The bytes of a file of this disk, or of the Hub, decompressed."""
    if "://" not in file:
        return opened(Path(file), name)
    import fsspec

    return cast(AbstractContextManager[Any], fsspec.open(file, "rb", compression="infer"))


def _as_utf8(stream: BinaryIO, encoding: str | None) -> BinaryIO:
    if encoding is None or encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        return stream
    return cast(BinaryIO, io.BufferedReader(Pieces(recoded(stream, encoding)), PIECE))


def _require_header(stream: BinaryIO, name: str, config: Any, wanted: Documents) -> None:
    """Raises DataError for a missing column and for two of one name, unless the dataset's card names the columns."""
    if config.names is not None or config.column_names is not None or config.header != "infer" or config.skiprows:
        return
    if len(sep := config.sep or config.delimiter or ",") != 1:
        return
    header: list[str] = next(
        filter(None, csv.reader(Lines(_as_utf8(stream, config.encoding), name), delimiter=sep)), []
    )
    for column in columns_wanted(wanted):
        require_column(column, name_columns(header), name)


def _require_keys(stream: BinaryIO, name: str, most: int | None) -> None:
    """Raises DataError for an object with two values for a key."""
    number = 0
    values: Iterator[Any] = json_records(stream, name)
    try:
        for _ in islice(values, most):
            number += 1
    except TwiceError as error:
        raise DataError(f"{name} row {number + 1}: {error}") from error


def _require_bounded(path: Path, name: str, wanted: Documents) -> None:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path)
    there = nested_names(table.schema_arrow)
    paths = [found for column in columns_wanted(wanted) if (found := path_of(column, there)) is not None]
    if paths:
        require_bounded(table, path, name, paths)
