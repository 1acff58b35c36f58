"""Candidate pairs: documents that match in a band (Leskovec et al. 2014, section 3.4).

For each band, the keys of all documents are sorted in as many pieces as fit into memory; a piece is a range of keys
from all files. Documents with the same key form a bucket. The number of pieces does not affect the buckets or their
order.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.rules.near.files import SketchFiles

ENTRY_MEMORY = 24
"""Bytes per document while sorting; 8 of them stay."""


def pieces(files: SketchFiles, row: int, among: NDArray[np.bool_], memory: int) -> Iterator[NDArray[np.uint64]]:
    """The documents in `among`, sorted by their keys in one row of the sketches, one range of keys at a time.

    An entry is key · 2^32 + document number. Uses about `memory` bytes, or 24 per document of a larger bucket.
    """
    count = max(1, -(-files.documents * ENTRY_MEMORY // memory))
    for piece in range(count):
        low, high = (-(-(number << 32) // count) for number in (piece, piece + 1))
        parts = [np.empty(0, np.uint64)]
        for first, keys in files.keys(row):
            wanted = among[first : first + len(keys)]
            if count > 1:
                wanted = wanted & (keys >= low) & (keys <= high - 1)
            (documents,) = np.nonzero(wanted)
            parts.append(keys[documents].astype(np.uint64) << np.uint64(32) | (documents + first).astype(np.uint64))
        entries = np.concatenate(parts)
        del parts
        entries.sort()
        yield entries


def buckets_of_more(entries: NDArray[np.uint64], than: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Documents of buckets larger `than` this, by bucket and in corpus order, and the bucket of each."""
    begins = np.flatnonzero(first_of_each(entries >> np.uint64(32)))
    counts = np.diff(begins, append=len(entries))
    buckets = np.repeat(np.arange(len(begins)), counts)
    large = counts[buckets] > than
    return entries[large].astype(np.uint32), buckets[large]


def first_of_each(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Marks the first value of each run of equal values."""
    return np.concatenate((np.ones(min(len(values), 1), bool), values[1:] != values[:-1]))


@array_kernel
def pairs_of_small_buckets(
    entries: NDArray[np.uint64],
    begin: int,
    most: int,
    sizes: NDArray[np.uint32],
    threshold: float,
    room: NDArray[np.uint64],
    count: int,
) -> tuple[int, int, bool]:
    """Appends the pairs of buckets of up to `most` documents, from entry `begin` on, to the `count` pairs in `room`.

    A pair is first · 2^32 + second. Pairs too different in size to reach the threshold are skipped. Returns the entry
    to resume at, the number of pairs in `room`, and whether there was a larger bucket.
    """
    half = np.uint64(32)
    larger = False
    while begin < len(entries):
        end = begin + 1
        while end < len(entries) and entries[end] >> half == entries[begin] >> half:
            end += 1
        if end - begin > most:
            larger = True
        elif count + (end - begin) * (end - begin - 1) // 2 > len(room):
            break
        else:
            for place in range(begin, end - 1):
                first = np.uint32(entries[place])
                for behind in range(place + 1, end):
                    second = np.uint32(entries[behind])
                    less, more = min(sizes[first], sizes[second]), max(sizes[first], sizes[second])
                    if less / more >= threshold:
                        room[count] = np.uint64(first) << half | np.uint64(second)
                        count += 1
        begin = end
    return begin, count, larger
