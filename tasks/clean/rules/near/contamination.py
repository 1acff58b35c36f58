"""Decontamination: finds documents that share word n-grams with evaluation texts.

Follows GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C): any run of 13 words shared with an evaluation text is
contamination. GPT-3 cut out the overlap and kept the rest; here the whole document is dropped, and the thresholds are
configurable.

    EvaluationIndex.of_columns(columns, settings).write(path)              # once
    found = overlaps(batch.column("text"), EvaluationIndex.read(path))     # for any batch, in any process
    verdict = found.verdict(0, settings)                                   # of one that is `contaminated`

An index file is a header of 64-bit numbers (FORMAT, skipped texts, sets; per set its n-gram length, table size and
number of n-grams) followed by the tables, in native byte order. It is memory-mapped, so processes share it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.rules.near.hash_set import HashSet
from tasks.clean.rules.near.ngrams import ngrams_of
from tasks.clean.rules.near.settings import ContaminationSettings
from tasks.clean.rules.near.words import Words, words_of
from tasks.clean.verdict import Verdict
from tasks.stage.errors import DataError
from tasks.stage.runtime import workers
from tasks.workers.threads import in_threads

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = int.from_bytes(b"ngrams 1", "little")
"""Magic number of an index file."""

HEADER = 3
PER_SET = 3


@dataclass(frozen=True)
class EvaluationIndex:
    """The n-grams of evaluation texts; 11 to 21 bytes each."""

    sets: Mapping[int, HashSet]
    """By length in words: n, and the lengths of shorter texts, which are one n-gram as a whole."""
    skipped: int
    """Number of texts with fewer than `min_words` words, which are ignored."""

    @classmethod
    def of(cls, texts: "pa.Array | pa.ChunkedArray", settings: ContaminationSettings) -> Self:
        """The index of a column of strings."""
        return cls.of_columns([texts], settings)

    @classmethod
    def of_columns(cls, columns: "Iterable[pa.Array | pa.ChunkedArray]", settings: ContaminationSettings) -> Self:
        """The index of several columns, hashed in as many threads as there are workers."""
        sets = {settings.ngram: HashSet()}
        skipped = 0
        for hashes, few in in_threads(partial(_hashed, settings=settings), columns, workers()):
            skipped += few
            for length, found in hashes.items():
                sets.setdefault(length, HashSet()).add(found)
        return cls(dict(sorted(sets.items())), skipped)

    def write(self, path: Path) -> None:
        """Write the index to a file; the same texts in the same order give the same bytes."""
        header = [FORMAT, self.skipped, len(self.sets)]
        for length, hashes in self.sets.items():
            header += [length, len(hashes.table()), len(hashes)]
        with path.open("wb") as file:
            np.array(header, np.uint64).tofile(file)
            for hashes in self.sets.values():
                hashes.table().tofile(file)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Map the index in a file, which must not change meanwhile. Raises DataError if it is not an index."""
        words, odd = divmod(path.stat().st_size, 8)
        data = np.zeros(HEADER, np.uint64)
        if words >= HEADER and not odd:
            data = np.memmap(path, np.uint64, "r").view(np.ndarray)
        kind, skipped, count = map(int, data[:HEADER])
        begin = HEADER + PER_SET * count
        if kind != FORMAT or begin > words:
            raise DataError(f"{path}: not an index of evaluation texts")
        sets = {}
        for length, places, size in data[HEADER:begin].reshape(-1, PER_SET).tolist():
            sets[length] = HashSet.of_table(data[begin : begin + places], size)
            begin += places
        if begin != words:
            raise DataError(f"{path}: not a complete index of evaluation texts")
        return cls(sets, skipped)


@dataclass(frozen=True)
class Overlaps:
    """The overlap of documents with evaluation texts."""

    ngrams: NDArray[np.int64]
    """Number of positions where an n-gram of the evaluation texts begins [documents]."""
    shares: NDArray[np.float64]
    """Fraction of words covered by such n-grams [documents]."""

    def contaminated(self, settings: ContaminationSettings) -> NDArray[np.bool_]:
        """Which documents are contaminated [documents]."""
        return (self.ngrams >= settings.min_ngrams) & (self.shares >= settings.min_share)

    def verdict(self, document: int, settings: ContaminationSettings) -> Verdict:
        """`contaminated`, with the n-grams and the fraction of words of a contaminated document."""
        ngrams, share = int(self.ngrams[document]), float(self.shares[document])
        least = f"{settings.min_ngrams}" + (f", {settings.min_share:g} of the words" if settings.min_share else "")
        return Verdict("contaminated", f"{ngrams}, {share:.3f} of the words", least)


def overlaps(texts: "pa.Array | pa.ChunkedArray", index: EvaluationIndex) -> Overlaps:
    """The overlap of each text of a column of strings with the evaluation texts.

    Takes about 10 ns per byte of English text (more if the sets outgrow the CPU cache), plus 2 ns per length of short
    evaluation texts.
    """
    words = words_of(texts)
    begins, covered = marked(words, index)
    ends = np.cumsum(words.counts)
    return Overlaps(
        _sums(begins, ends),
        np.divide(_sums(covered, ends), words.counts, where=words.counts > 0, out=np.zeros(len(ends))),
    )


def marked(words: Words, index: EvaluationIndex) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which words begin an n-gram of the index, and which are in one [words of all documents]."""
    begins = np.zeros(len(words.hashes), np.bool_)
    covered = np.zeros(len(words.hashes), np.bool_)
    for length, hashes in index.sets.items():
        ngrams = ngrams_of(words, length)
        _mark(hashes.contains(ngrams.hashes), ngrams.counts, words.counts, length, begins, covered)
    return begins, covered


def _hashed(
    texts: "pa.Array | pa.ChunkedArray", settings: ContaminationSettings
) -> tuple[dict[int, NDArray[np.uint64]], int]:
    """N-grams of evaluation texts by length, and the number of texts that are too short."""
    words = words_of(texts)
    hashes = {}
    for length in range(settings.min_words, settings.ngram + 1):
        chosen = words.counts >= length if length == settings.ngram else words.counts == length
        if chosen.any():
            these = Words(words.hashes[np.repeat(chosen, words.counts)], words.counts[chosen])
            hashes[length] = ngrams_of(these, length).hashes
    return hashes, int((words.counts < settings.min_words).sum())


def _sums(marks: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Marks per document; `ends`: where the words of each document end [documents]."""
    sums = np.concatenate(([0], np.cumsum(marks, dtype=np.int64)))
    return np.diff(sums[ends], prepend=0)


@array_kernel
def _mark(
    found: NDArray[np.bool_],
    counts: NDArray[np.int64],
    words: NDArray[np.int64],
    length: int,
    begins: NDArray[np.bool_],
    covered: NDArray[np.bool_],
) -> None:
    """Marks the first word of each n-gram found, and all words covered by it."""
    ngram, word = 0, 0
    for document in range(len(counts)):
        marked = 0
        for place in range(counts[document]):
            if found[ngram + place]:
                begins[word + place] = True
                for inside in range(max(place, marked), min(place + length, words[document])):
                    covered[word + inside] = True
                marked = place + length
        ngram += counts[document]
        word += words[document]
