"""What the model's bits per byte stand beside: a unigram model over the same tokens, and xz on the same text."""

import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contract.corpus import read_batches
from tasks.contract.errors import DataError
from tasks.contract.tokens import Tokens

STEP = 1 << 22
"""Token ids that are counted at a time."""


@dataclass(frozen=True)
class Text:
    """A split's text as a whole."""

    documents: int
    bytes: int
    sha256: str
    """Of the documents in order, each behind its length: the same however the split is cut into shards."""
    xz_bytes: int
    """Of all documents back to back, compressed at xz's strongest preset."""


def measure_text(folder: Path) -> Text:
    """One pass over a split. Raises DataError where it holds no text."""
    documents = size = compressed = 0
    digest = hashlib.sha256()
    xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    for batch in read_batches(folder, ["text"]):
        for value in batch.column("text"):
            raw = value.as_py().encode("utf-8")
            digest.update(len(raw).to_bytes(8, "little") + raw)
            compressed += len(xz.compress(raw))
            documents, size = documents + 1, size + len(raw)
    if size == 0:
        raise DataError(f"{folder}: no text in it to evaluate on ({documents} documents)")
    return Text(documents, size, digest.hexdigest(), compressed + len(xz.flush()))


def unigram_losses(tokens: Tokens) -> NDArray[np.float64]:
    """-ln p of each token of the vocabulary, in nats [vocabulary]: (count + 1) / (tokens + vocabulary) (Laplace)."""
    counts = np.zeros(tokens.index.vocab_size, np.int64)
    for start in range(0, len(tokens), STEP):
        counts += np.bincount(tokens.slice(start, min(start + STEP, len(tokens))), minlength=len(counts))
    return np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)
