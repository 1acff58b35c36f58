"""Documents that were dropped, kept with their reason: one Parquet file, `corpus_schema("reason", …)`, and a tally.

A file is written as it comes, a batch at a time; the tally has a count and a few examples for every reason.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tasks.contract.corpus import BATCH_BYTES, document_writer, text_bytes
from tasks.contract.stage import Drop

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 5
"""Examples per reason in a report; the file has them all."""


class DropWriter:
    """Writes dropped documents to `path`; close it, or use it as a context. `drops()` is the tally for the report."""

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self.schema = schema
        self._tally: dict[str, Drop] = {}
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._writer = document_writer(path, schema)

    def write(self, batch: "pa.RecordBatch", kinds: Sequence[str] | None = None) -> None:
        """Append dropped documents. The columns behind `reason`, such as a measured value, go into the examples.

        `kinds`, one per document, are what the tally counts by; without them it counts by the reasons.
        """
        if batch.num_rows == 0:
            return
        batch = batch.select(self.schema.names).cast(self.schema)
        more = self.schema.names[self.schema.get_field_index("reason") + 1 :]
        counted = batch.column("reason").to_pylist() if kinds is None else kinds
        rows = zip(
            counted, text_bytes(batch).tolist(), *(batch.column(name).to_pylist() for name in ("id", "reason", *more)),
            strict=True,
        )  # fmt: skip
        for kind, size, document, reason, *measured in rows:
            drop = self._tally.setdefault(kind, Drop(kind, 0))
            drop.documents += 1
            drop.bytes += size
            if len(drop.examples) < EXAMPLES:
                facts = [f"{name} {value}" for name, value in zip(more, measured, strict=True) if value]
                said = ", ".join(facts if kind == reason else [reason, *facts])
                drop.examples.append(f"{document}: {said}" if said else document)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= BATCH_BYTES:
            self._flush()

    def drops(self) -> list[Drop]:
        """The tally, the most frequent reason first."""
        return sorted(self._tally.values(), key=lambda drop: (-drop.documents, drop.reason))

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self.schema).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting, self._waiting_bytes = [], 0
