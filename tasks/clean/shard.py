"""Pass 1, a row group at a time: texts are rewritten and judged, and what was found is kept in a file of its own.

The file is a pure function of the row group, of the settings that are about single documents, and of the code. Its name
is a hash of these: a run that finds it takes it as it is, whether it was broken off or the corpus has grown since.
"""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clean.documents import Noted, clean_batch
from tasks.clean.settings import CleanSettings
from tasks.formats.corpus import COLUMNS, hash_row_group, read_row_group, text_bytes
from tasks.stage.code import read_code
from tasks.stage.identity import fingerprint
from tasks.workers.parallel_map import parallel_map

if TYPE_CHECKING:
    import pyarrow as pa

OF_THE_CORPUS = {"splits", "exact_duplicates", "contamination"}
"""Keys of the settings about which this pass does not ask: what they say depends on other documents."""
THREADS = 2
"""Threads of one process that are faster than processes: four fifths of the time no one holds Python's lock."""


@dataclass(frozen=True)
class CleanedShard:
    """A row group after pass 1: a file with every document of it, in its order, with its cleaned text."""

    path: Path
    """Columns of a corpus, REJECTED, and `digest`: a hash of the cleaned text, whatever its target or label is."""
    documents: int
    noted: Noted
    bytes_received: int
    """Of texts and targets, before cleaning."""

    @property
    def sketch(self) -> Path:
        """What near-duplicates are found by, where the settings ask for them; documents that are dropped have none."""
        return self.path.with_suffix(".sketch")

    @property
    def paragraphs(self) -> Path:
        """Hashes of its paragraphs, where the settings ask for them."""
        return self.path.with_suffix(".paragraphs")

    def read(self, *columns: str) -> "pa.RecordBatch":
        """The documents, or some columns of them."""
        return _open(self.path, columns).get_batch(0)


def cleaned(
    places: Sequence[tuple[Path, int]], settings: CleanSettings, rare: Mapping[str, int], folder: Path, processes: int
) -> Iterator[CleanedShard]:
    """These row groups, in order, by up to so many processes.

    `rare`: documents of the labels that have too few. What the row groups come to is kept in `folder`.
    """
    basis = fingerprint(
        [settings.model_dump(mode="json", exclude=OF_THE_CORPUS), rare, read_code("clean"), unicodedata.unidata_version]
    )
    work = partial(clean_row_group, settings=settings, rare=rare, basis=basis, folder=folder)
    yield from parallel_map(work, places, processes, threads=processes <= THREADS)


def clean_row_group(
    place: tuple[Path, int], settings: CleanSettings, rare: Mapping[str, int], basis: str, folder: Path
) -> CleanedShard:
    """Clean one row group of a corpus, or find that it was done. Raises DataError where it is damaged.

    `basis` stands for everything but the row group that the result depends on.
    """
    path = folder / f"{fingerprint([hash_row_group(*place), basis])}.arrow"
    if not path.exists():
        batch = read_row_group(*place, columns=COLUMNS)
        documents, noted = clean_batch(batch, settings, rare)
        _write_traces(path, documents, settings)
        about = {"documents": batch.num_rows, "bytes": int(text_bytes(batch).sum()), "noted": vars(noted)}
        _write(path, documents.replace_schema_metadata({"about": json.dumps(about)}))
    about = json.loads(_open(path).schema.metadata[b"about"])
    noted = Noted(**{name: Counter(counts) for name, counts in about["noted"].items()})
    return CleanedShard(path, about["documents"], noted, about["bytes"])


def _write_traces(path: Path, batch: "pa.RecordBatch", settings: CleanSettings) -> None:
    """What pass 2 needs to know of the documents that stay, in files beside the one at `path`."""
    import pyarrow.compute as pc

    texts = pc.if_else(batch.column("reason").is_null(), batch.column("text"), None)
    if settings.near_duplicates is not None:
        from tasks.clean.rules.near.sketch import sketch_of, write_sketch

        write_sketch(sketch_of(texts, settings.near_duplicates), path.with_suffix(".sketch"))
    if settings.duplicate_paragraphs is not None:
        from tasks.clean.rules.near.paragraphs import paragraphs_of, write_paragraphs

        write_paragraphs(paragraphs_of(texts, settings.duplicate_paragraphs), path.with_suffix(".paragraphs"))


def _write(path: Path, batch: "pa.RecordBatch") -> None:
    """Last of all, and under another name until it is whole: where it is found, all that belongs to it is good."""
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
