"""Boilerplate: n-grams of evaluation texts that many documents share, such as a licence.

They are no contamination: a training document that has them says nothing about a test. Without this rule, a line that
all documents share would empty the training split. Document frequencies are those of a sample. An n-gram counts as
boilerplate, too, if more than half of its words are: a licence with another year or name.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.clean.rules.near.contamination import EvaluationIndex, marked
from tasks.clean.rules.near.hash_set import HashSet
from tasks.clean.rules.near.ngrams import ngrams_of
from tasks.clean.rules.near.words import words_of

if TYPE_CHECKING:
    import pyarrow as pa

Sample = Callable[[], "Iterable[pa.RecordBatch]"]
"""Yields the same documents at each call, in batches of columns of text."""

SAMPLED = 2000
"""Documents in a sample: the frequency of a tenth of all is known to within a fiftieth."""
LEAST_DOCUMENTS = 5
"""A text that is in fewer documents is not boilerplate, however few there are."""
PASSAGES, LONGEST_PASSAGE = 5, 300
"""Examples in the report, and the maximum of their characters."""


def without_boilerplate(
    index: EvaluationIndex, texts: "Iterable[pa.Array]", sample: Sample, share: float
) -> tuple[EvaluationIndex, dict[str, object]]:
    """The index without boilerplate, and for the report what it was; the same index and {} if none.

    `texts`: columns of the evaluation texts.
    """
    common = EvaluationIndex(_common(index, sample, share), 0)
    count = sum(map(len, common.sets.values()))
    if not count:
        return index, {}
    left, beside = {}, _beside(texts, common)
    for length, hashes in index.sets.items():
        members = hashes.hashes()
        left[length] = HashSet(len(members))
        left[length].add(members[~(common.sets[length].contains(members) | beside[length].contains(members))])
    return EvaluationIndex(left, index.skipped), {"ngrams": count, "passages": _passages(common, sample)}


def _common(index: EvaluationIndex, sample: Sample, share: float) -> Mapping[int, HashSet]:
    """The n-grams in more than this share of the documents, by length."""
    documents, found = 0, {length: [np.empty(0, np.uint64)] for length in index.sets}
    for batch in sample():
        for length, hashes in index.sets.items():
            rows, there = [], []
            for column in batch.columns:
                ngrams = ngrams_of(words_of(column), length)
                shared = hashes.contains(ngrams.hashes)
                rows.append(np.repeat(np.arange(batch.num_rows), ngrams.counts)[shared])
                there.append(ngrams.hashes[shared])
            pairs = np.rec.fromarrays([np.concatenate(rows), np.concatenate(there)])
            found[length].append(np.unique(pairs)["f1"])  # once per document
        documents += batch.num_rows
    common = {}
    for length, parts in found.items():
        hits, counts = np.unique(np.concatenate(parts), return_counts=True)
        common[length] = HashSet()
        common[length].add(hits[(counts > share * documents) & (counts >= LEAST_DOCUMENTS)])
    return common


def _beside(texts: "Iterable[pa.Array]", common: EvaluationIndex) -> Mapping[int, HashSet]:
    """The n-grams of these texts of whose words more than half are in boilerplate, by length."""
    found = {length: HashSet() for length in common.sets}
    for column in texts:
        words = words_of(column)
        _, covered = marked(words, common)
        before, firsts = np.concatenate(([0], np.cumsum(covered))), np.cumsum(words.counts) - words.counts
        for length, hashes in found.items():
            ngrams = ngrams_of(words, length)
            first = np.repeat(firsts - np.cumsum(ngrams.counts) + ngrams.counts, ngrams.counts)
            starts = first + np.arange(len(ngrams.hashes))
            shared = before[np.minimum(starts + length, len(covered))] - before[starts]
            hashes.add(ngrams.hashes[2 * shared > length])
    return found


def _passages(common: EvaluationIndex, sample: Sample) -> list[str]:
    """The longest passage of boilerplate of each of the first documents that have one."""
    passages: dict[str, None] = {}
    for batch in sample():
        for column in batch.columns:
            words = words_of(column)
            _, covered = marked(words, common)
            for row, ends in enumerate(np.cumsum(words.counts).tolist()):
                here = covered[ends - words.counts[row] : ends]
                if here.any():
                    passages[_longest(column[row].as_py(), here)] = None
                if len(passages) == PASSAGES:
                    return list(passages)
    return list(passages)


def _longest(text: str, covered: NDArray[np.bool_]) -> str:
    """The longest run of covered words of a text, with all between its blanks."""
    import pyarrow as pa

    edges = np.flatnonzero(np.diff(np.concatenate(([False], covered, [False]))))
    starts, stops = edges[::2], edges[1::2]
    run = int(np.argmax(stops - starts))
    parts = text.split()
    ends = np.cumsum(words_of(pa.array(parts, pa.large_string())).counts)
    first, last = np.searchsorted(ends, (starts[run], stops[run] - 1), side="right")
    return " ".join(parts[first : last + 1])[:LONGEST_PASSAGE]
