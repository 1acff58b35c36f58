"""Cleaning a batch of documents: a pure function of the batch and the settings, mapped over processes in order."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clean.rules import rules_of
from tasks.clean.settings import CleanSettings
from tasks.clean.text import rewriting
from tasks.contract.corpus import COLUMNS, corpus_schema, read_row_group
from tasks.contract.spread import spread

if TYPE_CHECKING:
    import pyarrow as pa

REJECTED = ("reason", "value", "threshold")
"""Columns behind those of a corpus; `reason` is null for a document that stays."""

DIGEST_BYTES = 16
"""128 bits: two different texts among a thousand million get the same digest with a chance of 1 in 10^20."""

WORTH_A_PROCESS = 48 << 20
"""Bytes of a corpus below which one process is done before a second one has started."""


@dataclass(frozen=True)
class CleanedBatch:
    """A batch after cleaning: every document of the input, in its order, with its cleaned text."""

    documents: "pa.RecordBatch"
    """Columns of a corpus and REJECTED."""
    digests: list[bytes]
    """A hash of each cleaned text."""
    rewritten: Counter[str]
    """How many documents each step of the rewriting changed."""
    bytes_received: int
    """Of text, before cleaning."""


def clean_batch(batch: "pa.RecordBatch", settings: CleanSettings) -> CleanedBatch:
    """Rewrite every text of a batch (columns of a corpus) and judge it by the rules."""
    import pyarrow as pa
    import pyarrow.compute as pc

    steps, rules = rewriting(settings), rules_of(settings)
    rewritten: Counter[str] = Counter()
    texts, digests, verdicts = [], [], []
    for text in batch.column("text").to_pylist():
        for name, step in steps.items():
            before, text = text, step(text)
            if text is not before and text != before:
                rewritten[name] += 1
        verdict = next((found for rule in rules if (found := rule(text)) is not None), None)
        texts.append(text)
        digests.append(hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest())
        verdicts.append((verdict.reason, verdict.value, verdict.threshold) if verdict else (None, None, None))
    columns = [*(batch.column(name) for name in ("id", "group")), texts, batch.column("source")]
    columns += [list(column) for column in zip(*verdicts, strict=True)] or [[], [], []]
    schema = corpus_schema(*REJECTED)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    received = pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
    return CleanedBatch(pa.RecordBatch.from_arrays(arrays, schema=schema), digests, rewritten, received)


def clean_row_group(place: tuple[Path, int], settings: CleanSettings) -> list[CleanedBatch]:
    """The same for a row group of a shard. Raises DataError where it is damaged."""
    return [clean_batch(batch, settings) for batch in read_row_group(*place, columns=COLUMNS)]


def cleaned(
    places: Sequence[tuple[Path, int]], size: int, settings: CleanSettings, workers: int
) -> Iterator[CleanedBatch]:
    """All row groups of a corpus of `size` bytes, in order, by up to `workers` processes if it is large enough."""
    processes = min(workers, len(places)) if size >= WORTH_A_PROCESS else 1
    for batches in spread(partial(clean_row_group, settings=settings), places, processes):
        yield from batches
