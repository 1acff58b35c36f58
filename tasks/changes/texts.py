"""The text of single documents, by id and hash, from shards that are still at hand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.changes.manifest import hash_batch
from tasks.formats.conversation import read_messages, transcript
from tasks.formats.corpus import read_row_group
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

CHARACTERS = 160
"""Of a text that are shown."""
LEAD = 40
"""Of them before the first character that differs."""
MOST_GROUPS = 500
"""Row groups of a corpus that are looked through: some 4 GB of text."""


def find_texts(places: Iterable[Sequence[Path]], wanted: Mapping[str, bytes]) -> dict[str, str]:
    """Id → text, as far as one of the corpora has a document with this id and exactly this content.

    `wanted`: id → hash of the content. A corpus that is damaged or gone has no texts: they only illustrate.
    """
    found: dict[str, str] = {}
    for shards in places:
        if len(found) < len(wanted):
            found |= _look(shards, {name: digest for name, digest in wanted.items() if name not in found})
    return found


def shorten(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Both texts cut to CHARACTERS on one line; if both are there, from just before the first difference on."""
    start = 0
    if old is not None and new is not None:
        pairs = enumerate(zip(old, new, strict=False))
        first = next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))
        start = max(0, first - LEAD)
    return _cut(old, start), _cut(new, start)


def _cut(text: str | None, start: int) -> str | None:
    if text is None:
        return None
    part = " ".join(text[start : start + CHARACTERS].split())
    return f"{'…' if start else ''}{part}{'…' if len(text) > start + CHARACTERS else ''}"


def _look(shards: Sequence[Path], wanted: dict[str, bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        for path, group in islice(_row_groups(shards), MOST_GROUPS):
            if len(found) == len(wanted):
                break
            ids = read_row_group(path, group, ["id"]).column("id").to_pylist()
            rows = [row for row, name in enumerate(ids) if name in wanted and name not in found]
            if rows:
                batch = read_row_group(path, group).take(rows)
                columns = (batch.column("id").to_pylist(), shown(batch), hash_batch(batch))
                for name, text, digest in zip(*columns, strict=True):
                    if digest == wanted[name]:
                        found[name] = text
    except (DataError, OSError):
        return found
    return found


def shown(batch: "pa.RecordBatch") -> list[str]:
    """The text of each document; of a conversation all turns, each after its role, so that any change shows."""
    names = batch.schema.names
    if "messages" not in names:
        return list(batch.column("text").to_pylist())
    chats = [transcript(read_messages(text)) for text in batch.column("messages").to_pylist()]
    if "rejected" not in names:
        return chats
    return [f"{chat}\nrejected: {text}" for chat, text in zip(chats, batch.column("rejected").to_pylist(), strict=True)]


def _row_groups(shards: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in shards:
        try:
            groups = pq.read_metadata(path).num_row_groups
        except pa.ArrowException as error:
            raise DataError(f"{path}: not a valid Parquet file: {error}") from error
        yield from ((path, group) for group in range(groups))
