"""The rows of a Parquet file, and the bound on what its dictionaries and compressed pages unpack to.

A dictionary holds a value once for all rows that have it: kilobytes can stand for a disk of text.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tasks.fetch.compressed import Bound
from tasks.ingest.rows import Row, columns_wanted, make_row, name_columns, require_column
from tasks.ingest.source import Documents
from tasks.stage.errors import DataError

ROWS = 1024
"""Rows in memory at a time."""
BATCH = 1 << 28
"""Bytes of a column in memory at a time, if no value is longer."""
WIDTH = 8
"""Bytes of a number, or of the length of a text."""


def parquet_rows(path: Path, name: str, wanted: Documents) -> Iterator[Row]:
    """The rows, in order. Raises DataError for a damaged file, a missing column, and for a bomb."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        table = pq.ParquetFile(path)
        there = nested_names(table.schema_arrow)
        paths = {column: require_column(column, there, name) for column in columns_wanted(wanted)}
        said = wanted.conversation_columns()  # these may be lists of turns
        for column, inside in paths.items():
            if column not in said:
                _require_plain(table.schema_arrow, inside, f"{name}: the column {column!r}")
        for columns in _columns(table, path, name, list(paths.values())):
            for row in zip(*(column.to_pylist() for column in columns), strict=True):
                number += 1
                yield make_row(name, "row", number, dict(zip(paths, row, strict=True)), wanted, None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: damaged after row {number}: {error}") from error


def require_bounded(table: Any, path: Path, name: str, paths: list[tuple[str, ...]]) -> None:
    """Raises DataError for a bomb in these columns of a `ParquetFile`."""
    for _ in _columns(table, path, name, paths):
        pass


def _columns(table: Any, path: Path, name: str, paths: list[tuple[str, ...]]) -> Iterator[list[Any]]:
    """Columns, a few rows at a time. Raises DataError for a bomb, before it is in memory."""
    tops = {inside[0] for inside in paths}
    packed = path.stat().st_size
    groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
    announced, bound = (Bound(name, packed, "save it as .jsonl") for _ in range(2))
    for group in groups:
        for leaf in _leaves(group, tops):
            announced.spend(leaf.total_uncompressed_size)
            announced.spend(leaf.num_values * WIDTH)
    sizes = [_rows_at_a_time(path, number, _leaves(group, tops)) for number, group in enumerate(groups)]
    for rows, run in groupby(range(len(groups)), key=sizes.__getitem__):
        for batch in table.iter_batches(rows, row_groups=list(run), columns=sorted(tops)):
            columns = [_decoded(batch, inside) for inside in paths]
            bound.spend(sum(column.nbytes for column in columns))
            yield columns


def _leaves(group: Any, tops: set[str]) -> list[Any]:
    """The metadata of the columns that Parquet stores for these columns of the table."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    return [leaf for leaf in chunks if any(f"{leaf.path_in_schema}.".startswith(f"{top}.") for top in tops)]


def _rows_at_a_time(path: Path, group: int, leaves: list[Any]) -> int:
    """How many rows of a row group stay below BATCH, if all have the longest value of a dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows, group_rows = ROWS, pq.ParquetFile(path).metadata.row_group(group).num_rows
    for leaf in leaves:
        listed = any("DICTIONARY" in encoding for encoding in leaf.encodings) and leaf.physical_type == "BYTE_ARRAY"
        if not listed or leaf.total_uncompressed_size * ROWS <= BATCH:
            continue
        kept = pq.ParquetFile(path, read_dictionary=[leaf.path_in_schema])
        for batch in kept.iter_batches(1, row_groups=[group], columns=[leaf.path_in_schema]):
            column: Any = batch.column(0)
            each = -(-leaf.num_values // max(1, group_rows))  # in a list, on average
            while pa.types.is_nested(column.type):
                column = column.field(0) if pa.types.is_struct(column.type) else column.values
            if pa.types.is_dictionary(column.type) and len(column.dictionary):
                longest = pc.max(pc.binary_length(column.dictionary)).as_py()
                rows = max(1, min(rows, BATCH // max(1, longest * each)))
            break
    return rows


def _decoded(batch: Any, path: tuple[str, ...]) -> Any:
    """A column as its values, texts as bytes: an invalid byte then affects one row only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.column(path[0])
    for name in path[1:]:
        column = pc.struct_field(column, name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = _as_bytes(column.type)
    return column if kind == column.type else column.cast(kind)


def _as_bytes(kind: Any) -> Any:
    """The type with bytes in place of texts, at any depth."""
    import pyarrow as pa

    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.large_binary()
    if types.is_dictionary(kind):
        return _as_bytes(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.large_list(_as_bytes(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_bytes(field.type)) for field in kind])
    return kind


def _require_plain(fields: Any, path: tuple[str, ...], place: str) -> None:
    """Raises DataError for a column of lists or structs."""
    import pyarrow as pa

    kind = fields.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    if pa.types.is_nested(kind):
        inside = [f"{path[-1]}.{field.name}" for field in kind] if pa.types.is_struct(kind) else []
        told = f"; name one inside it, such as {inside[0]}" if inside else ""
        raise DataError(f"{place} holds {kind}, not text{told}")


def nested_names(fields: Iterable[Any]) -> dict[str, Any]:
    """Names of Arrow fields, nested under each struct, for `rows.path_of`."""
    import pyarrow as pa

    known = list(fields)
    inside = (nested_names(field.type) if pa.types.is_struct(field.type) else None for field in known)
    return name_columns((field.name for field in known), inside)
