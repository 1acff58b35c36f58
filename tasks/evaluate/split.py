"""The test split as a whole: how much there is of it, its hash for signatures, and what makes it unusable."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError


@dataclass(frozen=True)
class Split:
    """What a score was measured on."""

    documents: int
    bytes: int
    """UTF-8 bytes of the column `text`."""
    sha256: str
    """Of the documents' columns in order, each behind its length: the same however the split is cut into shards."""


def measure_split(folder: Path, columns: Sequence[str] = ("text",)) -> Split:
    """One pass over a split; `columns` begin with `text`.

    Raises DataError where it holds no text, and for a document that lacks one of the columns.
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
        raise DataError(f"{folder}: no text in it to evaluate on ({documents} documents)")
    return Split(documents, size, digest.hexdigest())


def read_rows(folder: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The documents of a split one by one, as dicts of the columns."""
    for batch in read_batches(folder, columns):
        yield from batch.to_pylist()


def spaced(total: int, wanted: int) -> set[int]:
    """`wanted` numbers below `total` at even distances, or all of them: which documents become examples."""
    return {number * total // wanted for number in range(wanted)} if total > wanted else set(range(total))


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of a text, with a sign where it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
