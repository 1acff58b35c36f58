"""Sketches of a batch of documents for near-duplicate search: a pure function of texts and settings.

    sketch = sketch_of(batch.column("text"), settings)    # in any process
    write_sketch(sketch, folder / "00017.sketch")         # read by `near_duplicates`

A sketch file is a header of four 64-bit numbers (FORMAT, documents, bands, words) followed by the arrays of `Sketch`,
in native byte order: 12 + 4 · bands bytes per document and 4 bytes per word, about two thirds of the size of English
text.
"""

import hashlib
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.rules.near.ngrams import hash_texts, ngrams_of
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.clean.rules.near.words import words_of

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = int.from_bytes(b"sketch 1", "little")
"""Magic number of a sketch file."""


@dataclass(frozen=True)
class Sketch:
    """What near-duplicate search needs about some documents."""

    sizes: NDArray[np.uint32]
    """Unique shingles per document [documents]; 0 without words, which never matches."""
    counts: NDArray[np.uint32]
    """Words per document [documents]."""
    keys: NDArray[np.uint32]
    """Documents with the same key in a row are candidates: one row per band, and last a hash of all words
    [bands + 1, documents]."""
    words: NDArray[np.uint32]
    """Word hashes of consecutive documents [words of all]."""


def sketch_of(texts: "pa.Array | pa.ChunkedArray", settings: NearDuplicateSettings) -> Sketch:
    """The sketch of a column of strings, in order; null has no words.

    Takes 8 to 12 ns per byte of English text, and working memory of about seven times the text.
    """
    words = words_of(texts)
    shingles = ngrams_of(words, settings.ngram)
    documents = len(words.counts)
    sizes, keys = np.empty(documents, np.uint32), np.empty((settings.bands + 1, documents), np.uint32)
    factors, offsets = _functions(settings.bands * settings.rows, settings.seed)
    _sketch(shingles.hashes, shingles.counts, factors, offsets, settings.rows, sizes, keys[:-1])
    keys[-1] = hash_texts(words.hashes, words.counts) >> np.uint64(32)
    return Sketch(sizes, words.counts.astype(np.uint32), keys, words.hashes)


def write_sketch(sketch: Sketch, path: Path) -> None:
    """Write a sketch to a file; the same sketch gives the same bytes."""
    with path.open("wb") as file:
        np.array([FORMAT, len(sketch.sizes), len(sketch.keys) - 1, len(sketch.words)], np.int64).tofile(file)
        for array in astuple(sketch):
            array.tofile(file)


@lru_cache(maxsize=8)
def _functions(hashes: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Odd factors and offsets modulo 2^32; x → factor · x + offset permutes the 32-bit integers. Both [hashes]."""
    digests = [hashlib.blake2b(f"{seed} {place}".encode(), digest_size=8).digest() for place in range(hashes)]
    drawn = np.frombuffer(b"".join(digests), "<u4").astype(np.uint32).reshape(hashes, 2)
    return drawn[:, 0] | np.uint32(1), drawn[:, 1].copy()


@array_kernel
def _sketch(
    shingles: NDArray[np.uint64],
    counts: NDArray[np.int64],
    factors: NDArray[np.uint32],
    offsets: NDArray[np.uint32],
    rows: int,
    sizes: NDArray[np.uint32],
    keys: NDArray[np.uint32],
) -> None:
    """Writes the number of unique shingles per document, and a key per band of `rows` minima.

    Processes four shingles at a time to read and write the minima a quarter as often; the loop over hash functions
    vectorizes.
    """
    hashes, half = len(factors), np.uint64(32)
    minima = np.empty(hashes, np.uint32)
    table = np.zeros(1024, np.uint64)
    unique = np.empty(1024, np.uint32)
    begin = 0
    for document in range(len(counts)):
        count = counts[document]
        bits = 4
        while (1 << bits) < 2 * count:
            bits += 1
        if (1 << bits) > len(table):
            table, unique = np.zeros(1 << bits, np.uint64), np.empty(1 << bits, np.uint32)
        else:
            table[: 1 << bits] = 0
        last, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
        size = 0
        for place in range(begin, begin + count):
            shingle = shingles[place]
            slot = shingle >> shift
            while table[slot] != np.uint64(0) and table[slot] != shingle:
                slot = (slot + np.uint64(1)) & last
            if table[slot] == np.uint64(0):
                table[slot] = shingle
                unique[size] = np.uint32(shingle)
                size += 1
        begin += count
        sizes[document] = size
        minima[:] = np.uint32(0xFFFFFFFF)
        fours = size - size % 4
        for place in range(0, fours, 4):
            a, b, c, d = unique[place], unique[place + 1], unique[place + 2], unique[place + 3]
            for function in range(hashes):
                factor, offset = factors[function], offsets[function]
                ab = min(np.uint32(factor * a + offset), np.uint32(factor * b + offset))
                cd = min(np.uint32(factor * c + offset), np.uint32(factor * d + offset))
                minima[function] = min(minima[function], min(ab, cd))
        for place in range(fours, size):
            for function in range(hashes):
                value = np.uint32(factors[function] * unique[place] + offsets[function])
                minima[function] = min(minima[function], value)
        for band in range(len(keys)):
            state = np.uint64(band)
            for function in range(band * rows, (band + 1) * rows):
                state = (state ^ np.uint64(minima[function])) * np.uint64(0x9E3779B97F4A7C15)
                state ^= state >> half
            keys[band, document] = np.uint32((state * np.uint64(0xD6E8FEB86659FD93)) >> half)
