"""All pairs of a corpus above a Jaccard similarity, from an inverted index: the ground truth for the search.

Exact, by the prefix filter of Chaudhuri et al. 2006 and Bayardo et al. 2007: with shingles sorted by rarity,
two sets of similarity t share one among the first size - ceil(t · size) + 1 of each. Independent of
`tasks.clean.rules.near`: a regular expression finds words, and shingles are compared as words.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

WORD = re.compile(r"[^\W_]+")
ROWS, PAIRS = 2000, 200_000
"""Batch sizes: rows of the index, pairs to compare."""

ROUNDING = 1e-9


def near_pairs(texts: Sequence[str], ngram: int, threshold: float) -> NDArray[np.int64]:
    """Document numbers of the near pairs, the smaller first [pairs, 2]."""
    sets = _sets(texts, ngram)
    sizes = np.diff(sets.indptr)
    kept = _prefixes(sets, sizes, threshold)
    holders = kept.T.tocsr()
    found = [np.empty((0, 2), np.int64)]
    for begin in range(0, len(texts), ROWS):
        sharing = (kept[begin : begin + ROWS] @ holders).tocoo()
        one, other = sharing.row.astype(np.int64) + begin, sharing.col.astype(np.int64)
        less, more = np.minimum(sizes[one], sizes[other]), np.maximum(sizes[one], sizes[other])
        (asked,) = np.nonzero((one < other) & (less >= threshold * more - ROUNDING))
        for part in np.split(asked, range(PAIRS, len(asked), PAIRS)):
            a, b = one[part], other[part]
            both = np.asarray(sets[a].multiply(sets[b]).sum(axis=1)).ravel()
            near = both / (sizes[a] + sizes[b] - both) >= threshold
            found.append(np.stack((a[near], b[near]), axis=1))
    return np.concatenate(found)


def _sets(texts: Sequence[str], ngram: int) -> csr_matrix:
    """One row per text with ones at its shingles, which are numbered from the rarest."""
    numbers: dict[tuple[str, ...], int] = {}
    columns, begins = [], [0]
    for text in texts:
        words = WORD.findall(text.lower())
        shingles = {tuple(words[place : place + ngram]) for place in range(max(1, len(words) - ngram + 1))}
        columns += [numbers.setdefault(shingle, len(numbers)) for shingle in shingles if shingle]
        begins.append(len(columns))
    frequency = np.bincount(columns, minlength=len(numbers))
    rank = np.empty(len(numbers), np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(numbers))
    sets = csr_matrix((np.ones(len(columns), np.int32), rank[columns], begins), shape=(len(texts), len(numbers)))
    sets.sort_indices()
    return sets


def _prefixes(sets: csr_matrix, sizes: NDArray[np.int64], threshold: float) -> csr_matrix:
    """Keep only the rarest shingles of each row, as many as the threshold requires."""
    lengths = np.where(sizes > 0, sizes - np.ceil(threshold * sizes - ROUNDING) + 1, 0).astype(np.int64)
    place = np.arange(len(sets.indices)) - np.repeat(sets.indptr[:-1], sizes)
    kept = place < np.repeat(lengths, sizes)
    begins = np.concatenate(([0], np.cumsum(lengths)))
    return csr_matrix((sets.data[kept], sets.indices[kept], begins), shape=sets.shape)
