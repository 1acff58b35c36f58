"""Size and hash of the test split, and access to its documents."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError


@dataclass(frozen=True)
class Split:
    """Size and hash of a split."""

    documents: int
    bytes: int
    """UTF-8 bytes of the column `text`."""
    sha256: str
    """Hash of the length-prefixed columns of all documents in order; independent of sharding."""


def measure_split(folder: Path, columns: Sequence[str]) -> Split:
    """Measure a split; `columns` begin with `text`.

    Raises DataError if it has no text or a document lacks one of the columns.
    """
    documents = size = 0
    digest = hashlib.sha256()
    for row in read_rows(folder, ("id", *columns)):
        for column in columns:
            if row[column] is None:
                raise DataError(f"{folder}: document {row['id']} has no {column}")
            raw = row[column].encode("utf-8")
            digest.update(len(raw).to_bytes(8, "little") + raw)
            size += len(raw) if column == "text" else 0
        documents += 1
    if size == 0:
        raise DataError(f"{folder}: no text to evaluate on ({documents} documents)")
    return Split(documents, size, digest.hexdigest())


def read_rows(folder: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Iterate over a split's documents, as dicts of `columns`."""
    for batch in read_batches(folder, columns):
        yield from batch.to_pylist()


def spaced(total: int, wanted: int) -> set[int]:
    """`wanted` evenly spaced indices below `total`, or all of them."""
    return {number * total // wanted for number in range(wanted)} if total > wanted else set(range(total))


def shortened(text: str, limit: int) -> str:
    """A text truncated to `limit` characters, ending with … if truncated."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
