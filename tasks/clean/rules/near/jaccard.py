"""Exact Jaccard similarity of pairs of documents: shared shingles divided by all shingles of the two.

Shingles are compared by 64-bit hashes, recomputed from the documents' words for as many pairs as fit into memory.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.clean.rules.near.candidates import first_of_each
from tasks.clean.rules.near.clusters import compare_pairs, roots
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.ngrams import ngrams_of

WORD_MEMORY = 24
"""Bytes per word during comparison: the word, its shingle, and temporaries."""


class Comparer:
    """Compares documents of some sketch files by shingles of `ngram` words, in about `memory` bytes."""

    def __init__(self, files: SketchFiles, ngram: int, memory: int) -> None:
        self.files, self.ngram, self.memory = files, ngram, memory

    def similarities(
        self, first: NDArray[np.uint32], second: NDArray[np.uint32], least: float = 0.0
    ) -> NDArray[np.float64]:
        """Similarity of each pair of nonempty documents; values below `least` are lower bounds [pairs].

        Fastest if equal values of `first` are adjacent.
        """
        nobody = np.empty(0, np.uint32)
        parts = self._parts(first, second)
        found = [self._compare(first[begin:end], second[begin:end], nobody, least) for begin, end in parts]
        return np.concatenate([np.empty(0), *found])

    def join(
        self, first: NDArray[np.uint32], second: NDArray[np.uint32], parents: NDArray[np.uint32], threshold: float
    ) -> None:
        """Connect pairs that reach the threshold. Pairs that are already connected are not compared."""
        for begin, end in self._parts(first, second):
            one, other = first[begin:end], second[begin:end]
            apart = roots(parents, one) != roots(parents, other)
            self._compare(one[apart], other[apart], parents, threshold)

    def _parts(self, first: NDArray[np.uint32], second: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
        """Ranges of pairs with words that fit into memory, or single pairs."""
        words = self.files.counts[second].astype(np.int64)
        new = first_of_each(first)
        words[new] += self.files.counts[first[new]]
        ends = np.cumsum(words)
        begin = 0
        while begin < len(first):
            room = (ends[begin] - words[begin]) + self.memory // WORD_MEMORY
            end = max(begin + 1, int(np.searchsorted(ends, room, side="right")))
            yield begin, end
            begin = end

    def _compare(
        self, first: NDArray[np.uint32], second: NDArray[np.uint32], parents: NDArray[np.uint32], threshold: float
    ) -> NDArray[np.float64]:
        found = np.empty(len(first), np.float64)
        if not len(first):
            return found
        documents = np.sort(np.concatenate((first, second)))  # several times faster than np.unique
        documents = documents[first_of_each(documents)]
        shingles = ngrams_of(self.files.words(documents.astype(np.int64)), self.ngram)
        begins = np.cumsum(shingles.counts) - shingles.counts
        places = np.searchsorted(documents, first), np.searchsorted(documents, second)
        sizes = self.files.sizes[documents]
        compare_pairs(shingles.hashes, begins, shingles.counts, sizes, documents, *places, parents, threshold, found)
        return found
