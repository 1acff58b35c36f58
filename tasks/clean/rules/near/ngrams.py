"""Word n-grams as 64-bit hashes; by default, 5-grams are the shingles that documents are compared by.

The hash is a rolling polynomial of the word hashes modulo 2^64, mixed afterwards. The probability of a collision within
a pair of documents of a thousand words is about 1 in 10^13; for n-grams that differ in one word it is 1 in 2^32.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.rules.near.words import Words


@dataclass(frozen=True)
class Ngrams:
    """All n-grams of some documents in text order, with repeats."""

    hashes: NDArray[np.uint64]
    """Never 0 [n-grams of all documents]."""
    counts: NDArray[np.int64]
    """N-grams per document [documents]: words - n + 1, but 1 for a shorter document and 0 for an empty one."""


def ngrams_of(words: Words, n: int) -> Ngrams:
    """All n-grams of `n` words. A shorter document has one, of all its words, which never equals a full n-gram.

    Takes about 1 ns and 8 bytes per n-gram.
    """
    counts = np.where(words.counts > 0, np.maximum(words.counts - (n - 1), 1), 0)
    hashes = np.empty(counts.sum(), np.uint64)
    _hash_ngrams(words.hashes, words.counts, n, hashes)
    return Ngrams(hashes, counts)


@array_kernel
def _spread(state: np.uint64) -> np.uint64:
    """Mix all bits; never 0, which marks an empty slot in tables."""
    state = (state ^ (state >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    state ^= state >> np.uint64(32)
    return state if state != np.uint64(0) else np.uint64(1)


@array_kernel
def _hash_ngrams(words: NDArray[np.uint32], counts: NDArray[np.int64], n: int, hashes: NDArray[np.uint64]) -> None:
    prime, short = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
    power = np.uint64(1)
    for _ in range(n):
        power *= prime
    word, ngram = 0, 0
    for document in range(len(counts)):
        count = counts[document]
        state = np.uint64(0) if count >= n else np.uint64(count) * short
        for place in range(word, word + min(count, n)):
            state = state * prime + np.uint64(words[place])
        if count > 0:
            hashes[ngram] = _spread(state)
            ngram += 1
        for place in range(word + n, word + count):
            state = state * prime + np.uint64(words[place]) - power * np.uint64(words[place - n])
            hashes[ngram] = _spread(state)
            ngram += 1
        word += count


@array_kernel
def hash_texts(words: NDArray[np.uint32], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A hash of the words of each document in order, never 0 [documents]."""
    hashes = np.empty(len(counts), np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    word = 0
    for document in range(len(counts)):
        state = np.uint64(counts[document])
        for place in range(word, word + counts[document]):
            state = (state ^ np.uint64(words[place])) * prime
            state ^= state >> np.uint64(29)
        hashes[document] = _spread(state)
        word += counts[document]
    return hashes
