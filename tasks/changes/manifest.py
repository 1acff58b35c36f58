"""Which documents each stage had: `documents/<stage>.parquet` among a run's artifacts.

    id     string      of the document, in the order of the corpus
    hash   binary(12)  BLAKE2b of its text, target and label; of its turns and the rejected answer, if it has them

Texts stay where they are; the lists are enough to name what came, went and changed between two runs. A stage of more
than MOST documents has an empty list that tells their number alone.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.corpus import count_documents, read_row_group, read_shard, row_groups
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

STAGES = {
    "raw": "raw", "valid": "valid", "train": "clean/train", "validation": "clean/validation", "test": "clean/test"
}  # fmt: skip
"""Name in a run → folder under data/<recipe>/."""
FOLDER = "documents"
INDEX = "index.json"
"""What the lists under data/<recipe>/documents/ were made of; it is no artifact."""
ALWAYS = ("text", "target", "label")
CONTENT = (*ALWAYS, "messages", "rejected")
"""Columns that are hashed; the last ones only if the corpus has them."""
BYTES = 12
"""Length of a hash: 2 million documents share one with a chance below 1e-16."""
MOST = 2_000_000
"""Documents of a stage that are listed one by one: about 60 MB as a file."""
MOST_GROUPS = 64
"""Row groups of a corpus without a list that are read for one: some 500 MB of text."""
COUNT = b"gristmill.documents"
"""The number of documents in the metadata of a list."""
FORMAT = 1
"""Increment when the same documents would give another list."""


@dataclass(frozen=True)
class Manifest:
    """The documents of a stage."""

    documents: int
    table: "pl.DataFrame | None"
    """`id` (str) and `hash` (binary), in the order of the corpus; None if the stage has more than MOST documents."""


def write_manifests(folder: Path) -> dict[str, Path]:
    """Name in the run (`documents/raw.parquet`) → file under `folder` (data/<recipe>), for the corpora that are there.

    A list is written anew only if the corpus has other files, by their names, sizes and times; the same documents give
    the same bytes. Streams, one row group at a time. Raises DataError for a damaged corpus.
    """
    own = folder / FOLDER
    known = _read_index(own / INDEX)
    found: dict[str, str] = {}
    written = {}
    for stage, place in STAGES.items():
        if not any((folder / place).glob("part-*.parquet")):
            continue
        path, found[stage] = own / f"{stage}.parquet", _state(folder / place)
        if not path.is_file() or known.get(stage) != found[stage]:
            own.mkdir(parents=True, exist_ok=True)
            _write(folder / place, path)
        written[f"{FOLDER}/{stage}.parquet"] = path
    if found != known and found:
        partial = own / f".partial-{INDEX}"
        partial.write_text(json.dumps(found, indent=2), encoding="utf-8")
        partial.replace(own / INDEX)
    return written


def read_manifest(path: Path) -> Manifest:
    """A list. Raises DataError if it is damaged."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        documents = int(table.schema.metadata[COUNT])
        rows = {"id": table["id"].to_pylist(), "hash": table["hash"].to_pylist()}
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a list of documents: {error}") from error
    listed = table.num_rows == documents
    return Manifest(documents, pl.DataFrame(rows, {"id": pl.String, "hash": pl.Binary}) if listed else None)


def list_documents(shards: Sequence[Path]) -> Manifest | None:
    """The documents of a corpus without a list; None if they are too many to be read for it.

    Raises DataError for a damaged corpus.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footers = [pq.read_metadata(path) for path in shards]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shards[0].parent}: damaged corpus: {error}") from error
    if sum(each.num_row_groups for each in footers) > MOST_GROUPS:
        return None
    ids: list[str] = []
    hashes: list[bytes] = []
    for path in shards:
        for batch in read_shard(path):
            ids += batch.column("id").to_pylist()
            hashes += hash_batch(batch)
    return Manifest(len(ids), pl.DataFrame({"id": ids, "hash": hashes}, {"id": pl.String, "hash": pl.Binary}))


def hash_document(*parts: str | None) -> bytes:
    """A document's content, the values of CONTENT, as `BYTES` bytes; the same wherever the document stands and whatever
    its id is."""
    digest = hashlib.blake2b(digest_size=BYTES)
    for part in parts:
        content = b"" if part is None else part.encode("utf-8", "surrogatepass")
        digest.update(f"{-1 if part is None else len(content)}:".encode())
        digest.update(content)
    return digest.digest()


def hash_batch(batch: "pa.RecordBatch") -> list[bytes]:
    """The hash of each document of a batch with `text`, and the other columns of CONTENT if the corpus has them."""
    names = set(batch.schema.names)
    empty = [None] * batch.num_rows
    columns = (
        batch.column(name).to_pylist() if name in names else empty
        for name in CONTENT
        if name in names or name in ALWAYS
    )
    return [hash_document(*parts) for parts in zip(*columns, strict=True)]


def _write(corpus: Path, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    documents = count_documents(corpus)
    schema = pa.schema(
        [pa.field("id", pa.large_string(), False), pa.field("hash", pa.binary(BYTES), False)],
        {COUNT: str(documents).encode()},
    )
    partial = path.with_name(f".partial-{path.name}")
    with pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=False, write_statistics=False) as writer:
        for shard, group, _ in row_groups(corpus) if documents <= MOST else ():
            batch = read_row_group(shard, group)
            arrays = [batch.column("id").cast(pa.large_string()), pa.array(hash_batch(batch), pa.binary(BYTES))]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    partial.replace(path)


def _state(corpus: Path) -> str:
    """What a corpus' files look like without reading them; DVC writes them anew, not in place."""
    files = [(path.name, path.stat()) for path in sorted(corpus.glob("part-*.parquet"))]
    return ";".join([f"{FORMAT}", *(f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in files)])


def _read_index(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
