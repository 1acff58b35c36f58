"""What the model's bits per byte stand beside: a unigram model over the same tokens, and xz on the same text."""

import lzma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.split import read_rows
from tasks.formats.tokens import Tokens

STEP = 1 << 22
"""Token ids that are counted at a time."""


def xz_bytes(folder: Path) -> int:
    """Of all documents of a split back to back, compressed at xz's strongest preset."""
    xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = sum(len(xz.compress(row["text"].encode("utf-8"))) for row in read_rows(folder, ["text"]))
    return size + len(xz.flush())


def unigram_losses(tokens: Tokens) -> NDArray[np.float64]:
    """-ln p of each token of the vocabulary, in nats [vocabulary]: (count + 1) / (tokens + vocabulary) (Laplace)."""
    counts = token_counts(tokens)
    return np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)


def token_counts(tokens: Tokens) -> NDArray[np.int64]:
    """How often each token of the vocabulary occurs in a split [vocabulary]."""
    counts = np.zeros(tokens.index.vocab_size, np.int64)
    for start in range(0, len(tokens), STEP):
        counts += np.bincount(tokens.slice(start, min(start + STEP, len(tokens))), minlength=len(counts))
    return counts
