"""`scores.parquet`: a row per test document."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.evaluate.exam import Row

if TYPE_CHECKING:
    import pyarrow as pa

DIGITS = 6
"""Decimals of stored numbers: finer than any real difference, coarser than rounding errors."""

ROW_GROUP = 1 << 20
"""Rows per row group, unless the rows hold texts."""


def write_scores(path: Path, rows: Iterable[Row], columns: Mapping[str, type], row_group: int = ROW_GROUP) -> None:
    """Write id, group and `columns` of the rows, numbers rounded to `DIGITS`; holds one row group in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, floats = schema_of(columns), [name for name, kind in columns.items() if kind is float]
    rest: Iterator[Row] = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while part := [_rounded(row, floats) for row in islice(rest, row_group)]:
            writer.write_table(pa.Table.from_pylist(part, schema))


def schema_of(columns: Mapping[str, type]) -> "pa.Schema":
    """The schema of scores.parquet: id, group, then `columns` of type str, int or float."""
    import pyarrow as pa

    kinds = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}
    named = {"id": str, "group": str, **columns}
    return pa.schema([(name, kinds[kind]) for name, kind in named.items()])


def _rounded(row: Row, floats: Iterable[str]) -> Row:
    return row | {name: round(row[name], DIGITS) for name in floats if row[name] is not None}
