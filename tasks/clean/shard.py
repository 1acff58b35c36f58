"""Cleaning a batch of documents: a pure function of the batch and the settings, mapped over processes in order."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clean.rules import Sides, rules_of
from tasks.clean.settings import CleanSettings
from tasks.clean.text import Step, rewriting
from tasks.contract.corpus import COLUMNS, corpus_schema, read_row_group, text_bytes
from tasks.contract.spread import spread

if TYPE_CHECKING:
    import pyarrow as pa

REJECTED = ("reason", "value", "threshold")
"""Columns behind those of a corpus; `reason` is null for a document that stays."""

SIDES = ("text", "target", "label")
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
    """A hash of each cleaned text, whatever its target or label is."""
    rewritten: Counter[str]
    """How many documents each step of the rewriting changed, on either side."""
    bytes_received: int
    """Of texts and targets, before cleaning."""


def clean_batch(batch: "pa.RecordBatch", settings: CleanSettings, labels: Mapping[str, int]) -> CleanedBatch:
    """Rewrite every text and target of a batch (columns of a corpus) and judge them by the rules.

    `labels`: the documents of each in the whole corpus, where the settings ask for so many.
    """
    import pyarrow as pa

    steps, rules = rewriting(settings), rules_of(settings, labels)
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
    schema = corpus_schema(*REJECTED)
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    received = int(text_bytes(batch).sum())
    return CleanedBatch(pa.RecordBatch.from_arrays(arrays, schema=schema), digests, rewritten, received)


def _rewritten(text: str, steps: Mapping[str, Step], changed: set[str]) -> str:
    """The text after all steps; `changed` gets the names of those that did something."""
    for name, step in steps.items():
        before, text = text, step(text)
        if text is not before and text != before:
            changed.add(name)
    return text


def clean_row_group(place: tuple[Path, int], settings: CleanSettings, labels: Mapping[str, int]) -> list[CleanedBatch]:
    """The same for a row group of a shard. Raises DataError where it is damaged."""
    return [clean_batch(batch, settings, labels) for batch in read_row_group(*place, columns=COLUMNS)]


def cleaned(
    places: Sequence[tuple[Path, int]], size: int, settings: CleanSettings, labels: Mapping[str, int], workers: int
) -> Iterator[CleanedBatch]:
    """All row groups of a corpus of `size` bytes, in order, by up to `workers` processes if it is large enough."""
    processes = min(workers, len(places)) if size >= WORTH_A_PROCESS else 1
    for batches in spread(partial(clean_row_group, settings=settings, labels=labels), places, processes):
        yield from batches
