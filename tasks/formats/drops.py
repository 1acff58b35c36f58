"""Dropped documents with their reason: one Parquet file, `corpus_schema("reason", …)`, and a tally.

The file is written batch by batch; the tally has a count and a few examples for each reason.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tasks.formats.corpus import BATCH_BYTES, document_writer, text_bytes
from tasks.stage.run import Drop

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

EXAMPLES = 5
"""Examples per reason in a report; the file has every document."""


class DropWriter:
    """A context manager that writes dropped documents to `path`. `drops()` is the report's tally."""

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self.schema = schema
        self._tally: dict[str, Drop] = {}
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._writer = document_writer(path, schema)

    def write(self, batch: "pa.RecordBatch", kinds: Sequence[str] | None = None) -> None:
        """Append dropped documents. Columns after `reason`, such as a measured value, appear in the examples.

        The tally counts by `kinds`, one per document, or else by the reasons.
        """
        if batch.num_rows == 0:
            return
        batch = batch.select(self.schema.names).cast(self.schema)
        self._count(batch, batch.column("reason") if kinds is None else kinds)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= BATCH_BYTES:
            self._flush()

    def drops(self) -> list[Drop]:
        """The tally, most frequent reason first."""
        return sorted(self._tally.values(), key=lambda drop: (-drop.documents, drop.reason))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def _count(self, batch: "pa.RecordBatch", kinds: "pa.LargeStringArray | Sequence[str]") -> None:
        import numpy as np
        import pyarrow as pa

        coded = pa.array(kinds, pa.large_string()).dictionary_encode()
        codes = coded.indices.to_numpy()
        documents = np.bincount(codes)
        sizes = np.bincount(codes, weights=text_bytes(batch))
        rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(documents)[:-1])
        for code, kind in enumerate(coded.dictionary.to_pylist()):
            drop = self._tally.setdefault(kind, Drop(kind, 0))
            drop.documents += int(documents[code])
            drop.bytes += int(sizes[code])
            drop.examples += self._examples(batch, rows[code][: EXAMPLES - len(drop.examples)], kind)

    def _examples(self, batch: "pa.RecordBatch", rows: "NDArray[np.int64]", kind: str) -> Iterator[str]:
        more = self.schema.names[self.schema.get_field_index("reason") + 1 :]
        for row in batch.select(["id", "reason", *more]).take(rows).to_pylist():
            facts = [f"{name} {row[name]}" for name in more if row[name]]
            said = ", ".join(facts if kind == row["reason"] else [row["reason"], *facts])
            yield f"{row['id']}: {said}" if said else row["id"]

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self.schema).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting, self._waiting_bytes = [], 0
