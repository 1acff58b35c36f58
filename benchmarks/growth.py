"""Makes a corpus of any size from real text, repeated with random word changes."""

import random
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import pyarrow as pa

from tasks.formats.corpus import CorpusWriter, corpus_schema, read_batches
from tests.clean.rules.quality.perturbed import made
from tests.scratch import ROOT

REAL = ROOT / "data" / "bert" / "raw"
MADE = 4000
"""Synthetic documents, if there is no real text."""
CHANGED = 0.08
"""Fraction of words changed in a repeated document: some stay near-duplicates, most do not."""


def real_texts() -> list[str]:
    """Debian's package descriptions if they are present, else synthetic texts."""
    return read_texts(REAL) if REAL.is_dir() else made(MADE, seed=0)


def read_texts(folder: Path) -> list[str]:
    """All texts of a corpus."""
    return [text for batch in read_batches(folder, ["text"]) for text in batch.column("text").to_pylist()]


def grown(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    """Batches of texts, `size` bytes in total. The first pass over the texts is unchanged."""
    chance = random.Random(0)
    words = sorted({word for text in texts[:2000] for word in text.split(" ")})
    written, batch = 0, []
    for place, text in enumerate(cycle(texts)):
        if place >= len(texts):
            parts = text.split(" ")
            for _ in range(1 + int(CHANGED * len(parts) * chance.random() * 4)):
                parts[chance.randrange(len(parts))] = words[chance.randrange(len(words))]
            text = " ".join(parts)
        written += len(text.encode())
        batch.append(text)
        if len(batch) == 5000 or written >= size:
            yield batch
            batch = []
        if written >= size:
            return


def write_grown(folder: Path, texts: Sequence[str], size: int) -> int:
    """Write a corpus in groups of ten documents; returns its bytes of text."""
    schema = corpus_schema()
    with CorpusWriter(folder, schema) as writer:
        number = 0
        for batch in grown(texts, size):
            rows = [
                {"id": f"d{place:09d}", "group": f"g{place // 10}", "text": text, "source": f"d{place:09d}"}
                for place, text in enumerate(batch, number)
            ]
            writer.write(pa.RecordBatch.from_pylist(rows, schema))
            number += len(batch)
    return writer.bytes
