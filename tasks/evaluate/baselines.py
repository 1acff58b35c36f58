"""Baselines for bits per byte: a unigram model of the same tokens, and xz on the same text."""

import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.split import read_rows
from tasks.formats.tokens import Tokens

STEP = 1 << 22
"""Token ids counted at a time."""


def xz_bytes(folder: Path) -> int:
    """Compressed size of a split's concatenated documents, with xz at its strongest preset."""
    xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = sum(len(xz.compress(row["text"].encode("utf-8"))) for row in read_rows(folder, ["text"]))
    return size + len(xz.flush())


def unigram_losses(tokens: Tokens, opening: Sequence[int] = ()) -> NDArray[np.float64]:
    """-ln p of each token in nats [vocabulary], with Laplace smoothing: p = (count + 1) / (tokens + vocabulary).

    `opening`: the ids that begin each document, which are not counted.
    """
    counts = token_counts(tokens)
    counts[list(opening)] -= tokens.index.documents
    return np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)


def token_counts(tokens: Tokens) -> NDArray[np.int64]:
    """Token counts of a split [vocabulary]."""
    counts = np.zeros(tokens.index.vocab_size, np.int64)
    for start in range(0, len(tokens), STEP):
        counts += np.bincount(tokens.slice(start, min(start + STEP, len(tokens))), minlength=len(counts))
    return counts
