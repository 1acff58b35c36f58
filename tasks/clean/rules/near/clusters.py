"""Connected components of documents: a disjoint-set forest (Tarjan 1975), 4 bytes per document.

In the forest `parents`, a document points to an earlier one of its set, and a root to itself [documents]; at first,
each one is a root. The root of a set is its first document, so the order of the pairs does not matter.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel


@array_kernel
def _root(parents: NDArray[np.uint32], document: np.uint32) -> np.uint32:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@array_kernel
def join(parents: NDArray[np.uint32], first: NDArray[np.uint32], second: NDArray[np.uint32]) -> None:
    """Connects first[i] with second[i] for every i."""
    for pair in range(len(first)):
        one, other = _root(parents, first[pair]), _root(parents, second[pair])
        parents[max(one, other)] = min(one, other)


@array_kernel
def squeeze(parents: NDArray[np.uint32], pairs: NDArray[np.uint64]) -> int:
    """Moves unique sorted pairs (first · 2^32 + second) of different sets to the front; returns how many."""
    half, before, kept = np.uint64(32), np.uint64(0), 0  # 0 is not a valid pair: document 0 with itself
    for place in range(len(pairs)):
        pair = pairs[place]
        if pair != before and _root(parents, np.uint32(pair >> half)) != _root(parents, np.uint32(pair)):
            pairs[kept] = pair
            kept += 1
        before = pair
    return kept


@array_kernel
def roots(parents: NDArray[np.uint32], documents: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The first document of each one's set."""
    found = np.empty(len(documents), np.uint32)
    for place in range(len(documents)):
        found[place] = _root(parents, documents[place])
    return found


@array_kernel
def keepers_of(parents: NDArray[np.uint32], priorities: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """For each document, the one of its set with the lowest priority, ties by corpus order [documents]."""
    found = np.arange(len(parents), dtype=np.uint32)
    for document in range(len(parents)):  # the root comes first and holds the best so far
        root = _root(parents, np.uint32(document))
        if priorities[document] < priorities[found[root]]:
            found[root] = document
    for document in range(len(parents) - 1, -1, -1):
        found[document] = found[_root(parents, np.uint32(document))]
    return found


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
    """Writes the Jaccard similarity of each pair; `first` and `second` index `documents`.

    With `parents`, pairs already in one set are skipped, and pairs that reach the threshold are joined.
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
            elif marks[slot] != mark:  # count each shingle once
                marks[slot] = mark
                shared += 1
        found[pair] = shared / (both - shared)
        if len(parents) and found[pair] >= threshold:
            roots = _root(parents, documents[one]), _root(parents, documents[other])
            parents[max(roots)] = min(roots)
