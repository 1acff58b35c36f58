"""Pass 1: normalizes and filters one row group at a time and caches the result in a file.

The file is a pure function of the row group, the per-document settings and the code, and its name is a hash of these.
A run reuses the files it finds, after an interruption or when the corpus has grown.
"""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clean.conversations import clean_conversations
from tasks.clean.documents import Noted, clean_batch
from tasks.clean.settings import CleanSettings
from tasks.formats.corpus import COLUMNS, extra_columns, hash_row_group, read_row_group, text_bytes
from tasks.stage.code import read_code
from tasks.stage.identity import fingerprint
from tasks.workers.parallel_map import parallel_map

if TYPE_CHECKING:
    import pyarrow as pa

OF_THE_CORPUS = {"splits", "exact_duplicates", "contamination", "sources", "across_sources"}
"""Settings that depend on other documents, and so do not affect this pass."""
THREADS = 2
"""Up to this many workers, threads beat processes: Python's GIL is free four fifths of the time."""


@dataclass(frozen=True)
class CleanedShard:
    """A row group after pass 1: a file with all its documents, in order, with cleaned text."""

    path: Path
    """Columns: those of a corpus, REJECTED, and `digest`, a hash of the cleaned text alone."""
    documents: int
    noted: Noted
    bytes_received: int
    """Bytes of texts and targets before cleaning."""
    part: str | None = None
    """Mixtures: the source of all its documents."""

    @property
    def sketch(self) -> Path:
        """Sketches for near-duplicate search, if enabled; dropped documents count as empty."""
        return self.path.with_suffix(".sketch")

    @property
    def paragraphs(self) -> Path:
        """Paragraph hashes, if duplicate paragraphs are removed."""
        return self.path.with_suffix(".paragraphs")

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return list(_open(self.path).schema.names)

    def read(self, *columns: str) -> "pa.RecordBatch":
        """The documents, with all columns or only these."""
        return _open(self.path, columns).get_batch(0)


def cleaned(
    places: Sequence[tuple[Path, int]], settings: CleanSettings, rare: Mapping[str, int], folder: Path, processes: int
) -> Iterator[CleanedShard]:
    """Clean these row groups with up to `processes` workers; yields them in order.

    `rare`: labels with too few documents, and their counts. `folder`: where results are cached.
    """
    parts = [part_of(*place) for place in places]
    own = {part: settings.of(part) for part in parts}
    basis = {
        part: fingerprint([
            some.model_dump(mode="json", exclude=OF_THE_CORPUS), rare, read_code("clean"), unicodedata.unidata_version
        ])
        for part, some in own.items()
    }  # fmt: skip
    work = partial(_clean_of_part, settings=own, rare=rare, basis=basis, folder=folder)
    yield from parallel_map(work, list(zip(places, parts, strict=True)), processes, threads=processes <= THREADS)


def part_of(path: Path, group: int) -> str | None:
    """The source that the documents of a row group come from; None if the corpus is no mixture."""
    if "part" not in extra_columns(path.parent):
        return None
    named = read_row_group(path, group, ["part"]).column("part")
    return str(named[0]) if len(named) else None


def _clean_of_part(
    item: tuple[tuple[Path, int], str | None],
    settings: Mapping[str | None, CleanSettings],
    rare: Mapping[str, int],
    basis: Mapping[str | None, str],
    folder: Path,
) -> CleanedShard:
    place, part = item
    return replace(clean_row_group(place, settings[part], rare, basis[part], folder), part=part)


def clean_row_group(
    place: tuple[Path, int], settings: CleanSettings, rare: Mapping[str, int], basis: str, folder: Path
) -> CleanedShard:
    """Clean one row group of a corpus, or reuse the cached result. Raises DataError for a damaged row group.

    `basis`: hash of everything else that the result depends on.
    """
    path = folder / f"{fingerprint([hash_row_group(*place), basis])}.arrow"
    if not path.exists():
        batch = read_row_group(*place, columns=(*COLUMNS, *extra_columns(place[0].parent)))
        work = clean_conversations if "messages" in batch.schema.names else clean_batch
        documents, noted = work(batch, settings, rare)
        _write_traces(path, documents, settings)
        about = {"documents": batch.num_rows, "bytes": int(text_bytes(batch).sum()), "noted": vars(noted)}
        _write(path, documents.replace_schema_metadata({"about": json.dumps(about)}))
    about = json.loads(_open(path).schema.metadata[b"about"])
    noted = Noted(**{name: Counter(counts) for name, counts in about["noted"].items()})
    return CleanedShard(path, about["documents"], noted, about["bytes"])


def _write_traces(path: Path, batch: "pa.RecordBatch", settings: CleanSettings) -> None:
    """Write what pass 2 needs about the remaining documents, in files next to `path`."""
    import pyarrow.compute as pc

    texts = pc.if_else(batch.column("reason").is_null(), batch.column("text"), None)
    if settings.near_duplicates is not None:
        from tasks.clean.rules.near.sketch import sketch_of, write_sketch

        write_sketch(sketch_of(texts, settings.near_duplicates), path.with_suffix(".sketch"))
    if settings.duplicate_paragraphs is not None:
        from tasks.clean.rules.near.paragraphs import paragraphs_of, write_paragraphs

        write_paragraphs(paragraphs_of(texts, settings.duplicate_paragraphs), path.with_suffix(".paragraphs"))


def _write(path: Path, batch: "pa.RecordBatch") -> None:
    """Atomic, and written last: if the file exists, its sketch and paragraph files are complete too."""
    import pyarrow as pa

    growing = path.with_name(f"{path.name}.{os.getpid()}")
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(growing), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    growing.replace(path)


def _open(path: Path, columns: Sequence[str] = ()) -> "pa.ipc.RecordBatchFileReader":
    import pyarrow as pa

    file = pa.memory_map(str(path))
    if not columns:
        return pa.ipc.open_file(file)
    names = pa.ipc.open_file(file).schema.names
    fields = sorted(names.index(name) for name in columns)
    return pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields))
