"""Documents in Parquet shards: `<folder>/part-00000.parquet`, … in order, of a fixed size in bytes of text.

    id       string  stable: unaffected when other documents are added or removed
    group    string  what a split must keep together (a play, a source package)
    text     string  the document
    target   string  pairs only: its translation or summary (else null)
    label    string  classification only: its class (else null)
    source   string  its location, for messages: file, and row or section
    problem  string  ingest only: why the document cannot be used (null if it can)

and, where the documents are of a kind that has them (EXTRA):

    messages string  conversations: their turns, as `tasks.formats.conversation` writes them; `text` then holds the
                     questions and `target` the answers
    rejected string  preferences: the answer that was not preferred; `messages` ends with the chosen one
    part     string  mixtures: the name of the document's source
    split    string  mixtures: the split that this source is for (null: by the recipe's `clean.splits`)

Shards depend on the documents alone, never on the number of workers. Document ids choose where row groups end, so
a new document changes only the row groups around it, and cached results of the others stay valid. Reading and writing
stream, one row group at a time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from zlib import crc32

from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SHARD_BYTES = 128 << 20
"""Text per shard; the last batch may exceed it."""

BATCH_BYTES = 8 << 20
"""Maximum text of a batch or row group, unless one document is larger; bounds a stage's memory."""

NO_CUT_BEFORE, CUT_EVERY = 0.25, 0.25
"""Fractions of BATCH_BYTES: the minimum size of a row group, and the mean extra text until its boundary. If the second
is small relative to the first, row groups that got out of step stay so for long."""

COLUMNS = ("id", "group", "text", "target", "label", "source")
OPTIONAL = ("target", "label", "split")
EXTRA = ("messages", "rejected", "part", "split")
Column = Literal["target", "label", "messages", "rejected"]
"""A column that documents may lack."""
OF_FEW_VALUES = ("group", "label", "source", "part", "split", "reason", "threshold")


def corpus_schema(*more: str, extra: Sequence[str] = ()) -> "pa.Schema":
    """The columns of a corpus and those of EXTRA that it has, followed by `more` string columns (`problem`, …)."""
    import pyarrow as pa

    nullable = (*OPTIONAL, *more)
    names = (*COLUMNS, *extra, *more)
    return pa.schema([pa.field(name, pa.large_string(), nullable=name in nullable) for name in names])


def extra_columns(folder: Path) -> tuple[str, ...]:
    """Which columns of EXTRA a corpus has, in that order. Raises DataError as `shards`."""
    return extra_of(_open(shards(folder)[0]).schema_arrow)


def count_parts(folder: Path) -> dict[str, int]:
    """Documents by source of a mixture, in order; empty for any other corpus. Raises DataError as `read_batches`."""
    if "part" not in extra_columns(folder):
        return {}
    found = Counter[str]()
    for batch in read_batches(folder, ["part"]):
        found.update(batch.column("part").to_pylist())
    return dict(found)


def extra_of(schema: "pa.Schema") -> tuple[str, ...]:
    """Which columns of EXTRA a schema has, in that order."""
    return tuple(name for name in EXTRA if name in schema.names)


def document_writer(path: Path, schema: "pa.Schema") -> "pa.parquet.ParquetWriter":
    """A Parquet writer for row groups of documents."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path,
        schema,
        compression="lz4",  # reads twice as fast as zstd, 1.4 times as large
        use_dictionary=[name for name in OF_FEW_VALUES if name in schema.names],
        write_statistics=False,  # a row group's minimum and maximum would be whole texts
    )


def shards(folder: Path) -> list[Path]:
    """The shards of a corpus, in order. Raises DataError if there are none."""
    found = sorted(folder.glob("part-*.parquet"))
    if not found:
        raise DataError(f"{folder}: no part-*.parquet found")
    return found


def count_documents(folder: Path) -> int:
    """Rows in all shards, from their footers."""
    return sum(_open(path).metadata.num_rows for path in shards(folder))


def read_batches(folder: Path, columns: Sequence[str] | None = None) -> Iterator["pa.RecordBatch"]:
    """The documents, one row group (at most about `BATCH_BYTES` of text) at a time. Raises DataError if damaged."""
    for path in shards(folder):
        yield from read_shard(path, columns)


def read_shard(path: Path, columns: Sequence[str] | None = None) -> Iterator["pa.RecordBatch"]:
    """The documents of one shard, one row group at a time. Raises DataError if it is damaged or lacks a column."""
    for group in range(_open(path).num_row_groups):
        if (batch := read_row_group(path, group, columns)).num_rows:
            yield batch


def row_groups(folder: Path) -> list[tuple[Path, int, int]]:
    """Every row group of a corpus in order, for parallel work: shard, number, uncompressed bytes."""
    found = []
    for path in shards(folder):
        metadata = _open(path).metadata
        found += [(path, group, metadata.row_group(group).total_byte_size) for group in range(metadata.num_row_groups)]
    return found


def read_row_group(path: Path, group: int, columns: Sequence[str] | None = None) -> "pa.RecordBatch":
    """The documents of one row group. Raises DataError if it is damaged or lacks a column."""
    import pyarrow as pa

    file = _open(path)
    missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)} (available: {', '.join(file.schema_arrow.names)})")
    try:
        table = file.read_row_group(group, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} row group {group}: damaged: {error}") from error
    arrays = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)  # a lone chunk is not copied


def hash_row_group(path: Path, group: int) -> str:
    """BLAKE2b (hex) of a row group's bytes, wherever they are in the file. Raises DataError as `row_groups`."""
    metadata = _open(path).metadata
    digest = hashlib.blake2b(metadata.schema.to_arrow_schema().serialize(), digest_size=20)
    with path.open("rb") as file:
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            start = min(page for page in (column.dictionary_page_offset, column.data_page_offset) if page is not None)
            file.seek(start)
            digest.update(file.read(column.total_compressed_size))
    return digest.hexdigest()


def text_bytes(batch: "pa.RecordBatch") -> "NDArray[np.int64]":
    """UTF-8 bytes of text plus target of each document [documents]."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = (pc.fill_null(pc.binary_length(batch.column(name)), 0) for name in ("text", "target"))
    return np.asarray(sum(length.to_numpy(zero_copy_only=False).astype(np.int64) for length in lengths))


class CorpusWriter:
    """A context manager that writes documents into shards of a new folder.

    `write` takes record batches of any size; row groups and shards are cut by bytes of text, between documents, and
    between the sources of a mixture. An empty corpus still gets one empty shard, so that readers see its columns.
    """

    def __init__(self, folder: Path, schema: "pa.Schema") -> None:
        folder.mkdir(parents=True)
        self.folder, self.schema = folder, schema
        self.documents = self.bytes = 0
        self._shard = 0
        self._shard_bytes = self._waiting_bytes = 0
        self._waiting: list[pa.RecordBatch] = []
        self._writer: pa.parquet.ParquetWriter | None = None
        self._part: str | None = None

    def write(self, batch: "pa.RecordBatch") -> None:
        """Append a batch that has the schema's columns."""
        batch = batch.select(self.schema.names).cast(self.schema)
        if "part" not in self.schema.names:
            self._append(batch)
            return
        start = 0
        for part, rows in groupby(batch.column("part").to_pylist()):
            if part != self._part:
                self._flush()
                self._part = part
            stop = start + len(list(rows))
            self._append(batch.slice(start, stop - start))
            start = stop

    def _append(self, batch: "pa.RecordBatch") -> None:
        import numpy as np

        sizes = text_bytes(batch)
        ends = np.cumsum(sizes, dtype=np.int64)
        cuts = np.flatnonzero(_may_end_here(batch.column("id"), sizes))
        start = written = 0
        while start < batch.num_rows:
            before = written - self._waiting_bytes
            least = np.searchsorted(ends, before + NO_CUT_BEFORE * BATCH_BYTES)
            most = int(np.searchsorted(ends, before + BATCH_BYTES))
            chosen = cuts[np.searchsorted(cuts, least)] if len(cuts) and cuts[-1] >= least else most
            stop = min(int(chosen), most) + 1
            if stop > batch.num_rows:
                break
            self._wait(batch.slice(start, stop - start), int(ends[stop - 1]) - written)
            self._flush()
            start, written = stop, int(ends[stop - 1])
        if start < batch.num_rows:
            self._wait(batch.slice(start), int(ends[-1]) - written)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            if self._writer is None and self._shard == 0:
                self._open_shard()
        self._close_shard()

    def _wait(self, batch: "pa.RecordBatch", size: int) -> None:
        self._waiting.append(batch)
        self._waiting_bytes += size

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting, self.schema).combine_chunks()
        if self._writer is None:
            self._open_shard()
        assert self._writer is not None
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self.documents += table.num_rows
        self.bytes += self._waiting_bytes
        self._shard_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        if self._shard_bytes >= SHARD_BYTES:
            self._close_shard()

    def _open_shard(self) -> None:
        self._writer = document_writer(self.folder / f"part-{self._shard:05d}.parquet", self.schema)

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._shard += 1
            self._shard_bytes = 0


def _may_end_here(ids: "pa.Array", sizes: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which documents may end a row group [documents]: by a hash of the id, larger documents more often."""
    import numpy as np

    chances = np.fromiter((crc32(name.encode()) for name in ids.to_pylist()), np.int64, len(sizes))
    return chances < sizes * (2**32 / (CUT_EVERY * BATCH_BYTES))


def _open(path: Path) -> "pa.parquet.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a valid Parquet file: {error}") from error
