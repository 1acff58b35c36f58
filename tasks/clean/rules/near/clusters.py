"""Documents that are connected by pairs: a forest of sets (Tarjan 1975), 4 bytes a document.

The root of a set is its first document, so the result does not depend on the order of the pairs.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel


class Clusters:
    """Documents 0 … n - 1, each by itself at first."""

    def __init__(self, documents: int) -> None:
        self.parents = np.arange(documents, dtype=np.uint32)
        """For each document one that is in its set and not behind it; a root has itself [documents]."""

    def join(self, first: NDArray[np.uint32], second: NDArray[np.uint32]) -> None:
        """Connect each document of the one list with that of the other at its place."""
        _join(self.parents, first, second)

    def apart(self, first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether the two documents of each pair are in different sets."""
        return np.asarray(self.roots(first) != self.roots(second))

    def squeeze(self, pairs: NDArray[np.uint64]) -> int:
        """Sorts pairs (first · 2^32 + second) and moves those of different sets to the front, each once; how many."""
        pairs.sort()
        return _squeeze(pairs, self.parents)

    def roots(self, documents: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The first document of the set of each."""
        found = np.empty(len(documents), np.uint32)
        _roots(self.parents, documents, found)
        return found

    def keepers(self, priorities: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """For each document that of its set with the least priority number, the first of these [documents]."""
        found = np.empty(len(self.parents), np.uint32)
        _keepers(self.parents, priorities, found)
        return found


@array_kernel
def _root(parents: NDArray[np.uint32], document: np.uint32) -> np.uint32:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@array_kernel
def _join(parents: NDArray[np.uint32], first: NDArray[np.uint32], second: NDArray[np.uint32]) -> None:
    for pair in range(len(first)):
        one, other = _root(parents, first[pair]), _root(parents, second[pair])
        parents[max(one, other)] = min(one, other)


@array_kernel
def _squeeze(pairs: NDArray[np.uint64], parents: NDArray[np.uint32]) -> int:
    half, before, kept = np.uint64(32), np.uint64(0), 0  # pair 0 would be of a document with itself
    for place in range(len(pairs)):
        pair = pairs[place]
        if pair != before and _root(parents, np.uint32(pair >> half)) != _root(parents, np.uint32(pair)):
            pairs[kept] = pair
            kept += 1
        before = pair
    return kept


@array_kernel
def _roots(parents: NDArray[np.uint32], documents: NDArray[np.uint32], found: NDArray[np.uint32]) -> None:
    for place in range(len(documents)):
        found[place] = _root(parents, documents[place])


@array_kernel
def _keepers(parents: NDArray[np.uint32], priorities: NDArray[np.uint8], found: NDArray[np.uint32]) -> None:
    for document in range(len(parents)):
        found[document] = document
    for document in range(len(parents)):  # the best so far is at the root, which comes before all others
        root = _root(parents, np.uint32(document))
        if priorities[document] < priorities[found[root]]:
            found[root] = document
    for document in range(len(parents) - 1, -1, -1):
        found[document] = found[_root(parents, np.uint32(document))]


@array_kernel
def compare_pairs(
    shingles: NDArray[np.uint64],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    sizes: NDArray[np.uint32],
    documents: NDArray[np.uint32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    parents: NDArray[np.uint32],
    threshold: float,
    found: NDArray[np.float64],
) -> None:
    """Writes the similarity of each pair of places, the shingles of whose documents are in `shingles`.

    With `parents`, pairs in one set are passed over, and those of at least the threshold become one set.
    """
    table, marks = np.zeros(1024, np.uint64), np.zeros(1024, np.uint32)
    inside = -1
    last, shift = np.uint64(0), np.uint64(0)
    mark = np.uint32(0)
    for pair in range(len(first)):
        one, other = first[pair], second[pair]
        if len(parents) and _root(parents, documents[one]) == _root(parents, documents[other]):
            continue
        if one != inside:
            inside, mark = one, np.uint32(0)
            bits = 4
            while (1 << bits) < 2 * sizes[one]:
                bits += 1
            if (1 << bits) > len(table):
                table, marks = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint32)
            else:
                table[: 1 << bits] = 0
                marks[: 1 << bits] = 0
            last, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
            for place in range(begins[one], begins[one] + counts[one]):
                shingle = shingles[place]
                slot = shingle >> shift
                while table[slot] != np.uint64(0) and table[slot] != shingle:
                    slot = (slot + np.uint64(1)) & last
                table[slot] = shingle
        mark += np.uint32(1)
        both = np.int64(sizes[one]) + np.int64(sizes[other])
        misses = counts[other] - (int(threshold * both / (1 + threshold)) - 1)
        shared = 0
        for place in range(begins[other], begins[other] + counts[other]):
            shingle = shingles[place]
            slot = shingle >> shift
            while table[slot] != np.uint64(0) and table[slot] != shingle:
                slot = (slot + np.uint64(1)) & last
            if table[slot] != shingle:
                misses -= 1
                if misses < 0:
                    break
            elif marks[slot] != mark:  # each shingle once
                marks[slot] = mark
                shared += 1
        found[pair] = shared / (both - shared)
        if len(parents) and found[pair] >= threshold:
            roots = _root(parents, documents[one]), _root(parents, documents[other])
            parents[max(roots)] = min(roots)
