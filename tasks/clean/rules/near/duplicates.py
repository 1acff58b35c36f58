"""Near-duplicates of a whole corpus, from the sketches of its batches.

1. Documents with the same words are compared with the first of them; only that one is searched further.
2. In small buckets of all bands, all pairs are compared and near pairs connected.
3. In large buckets, typical of templates, all documents are compared with the bucket's leaders.
4. Of each cluster, the document with the lowest priority stays, ties by corpus order.

Comparisons are exact, so precision is 1: every dropped document is near another one of its cluster. In a chain of pairs
it may be less similar to the one that stays; that similarity is reported. A near pair is always found in a small
bucket, and in a large bucket if one of the two is a leader; otherwise a common leader or another band may connect it.

At most documents · bands · (max_bucket / 2 + leaders) comparisons. The result depends only on the sketches and the
settings, not on the number of files or the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.clean.rules.near.candidates import buckets_of_more, first_of_each, pairs_of_small_buckets, pieces
from tasks.clean.rules.near.clusters import join, keepers_of, roots, squeeze
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.jaccard import Comparer
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.workers.parallel_map import parallel_map

DOCUMENT_MEMORY = 30
"""Bytes per document during the search, in addition to `memory`."""

MEMORY = 512 << 20
"""Bytes for sorting, pairing and comparing."""

PAIR_MEMORY = 64
"""Bytes per pair during comparison, without the words; 8 while queued."""

MEMBER_MEMORY = 128
"""Bytes per document of a large bucket."""

SHARES = 4
"""Tasks among which a compute cluster divides the bands; a pair is compared again in each task where it matches."""

HALF = np.uint64(32)


@dataclass(frozen=True)
class NearDuplicates:
    """The fate of each document of a corpus."""

    keepers: NDArray[np.uint32]
    """The document kept for each one; its own number if it stays [documents]."""
    similarities: NDArray[np.float32]
    """Jaccard similarity to that document; 1 if it stays [documents]."""
    stored: int
    """Bytes of the sketch files: 12 + 4 · bands per document, and 4 per word."""

    def staying(self) -> NDArray[np.bool_]:
        """Which documents stay [documents]."""
        return np.asarray(self.keepers == np.arange(len(self.keepers)))


def near_duplicates(
    paths: Sequence[Path],
    settings: NearDuplicateSettings,
    priorities: NDArray[np.uint8] | None = None,
    memory: int = MEMORY,
    shared: Path | None = None,
) -> NearDuplicates:
    """Find near-duplicates among the documents of sketch files, numbered across all files in the order of `paths`.

    `priorities`: per document; the lowest of a cluster stays (0 test, 1 validation, 2 train). None: the first stays.
    `shared`: a path readable by all workers of a compute cluster, which then share the bands. None: everything runs in
    this process, with fewer comparisons.

    Uses 30 bytes per document plus about `memory` bytes: keys and words stay in the files, and the keys are read once
    per piece of a band that fits into memory. A bucket larger than `memory` takes 128 bytes per document. Takes about
    11 ns per byte of English text on one CPU if `memory` is at least a third of the text, 26 with a twentieth.

    Raises DataError if a file is not a sketch with `settings.bands` bands.
    """
    files = SketchFiles(paths, settings.bands)
    search = _Search(files, settings, memory // 4)
    search.join_same_words()
    every = range(settings.bands)
    large = search.join_small_buckets(every) if shared is None else _spread(search, every, paths, memory, shared)
    search.join_large_buckets(large)
    if priorities is None:
        priorities = np.zeros(files.documents, np.uint8)
    keepers = keepers_of(search.parents, priorities)
    return NearDuplicates(keepers, search.similarities(keepers), files.bytes)


@dataclass(frozen=True)
class Forest:
    """The connections found in the small buckets of some bands."""

    documents: NDArray[np.uint32]
    others: NDArray[np.uint32]
    """Each is in the same set as the document at the same index of `documents` [connected]."""
    large: list[int]
    """Bands that also have large buckets."""


def forest_of(
    bands: Sequence[int], paths: Sequence[Path], settings: NearDuplicateSettings, shared: Path, memory: int
) -> Forest:
    """The work of one worker; `shared` holds the mask of documents to search."""
    search = _Search(SketchFiles(paths, settings.bands), settings, memory // 4)
    search.among = np.load(shared)
    large = search.join_small_buckets(bands)
    documents = np.flatnonzero(search.parents != np.arange(len(search.parents))).astype(np.uint32)
    return Forest(documents, search.parents[documents], large)


def _spread(search: "_Search", bands: Sequence[int], paths: Sequence[Path], memory: int, shared: Path) -> list[int]:
    """`join_small_buckets` on a compute cluster."""
    with shared.open("wb") as file:
        np.save(file, search.among)
    work = partial(forest_of, paths=paths, settings=search.settings, shared=shared, memory=memory)
    large: list[int] = []
    for forest in parallel_map(work, [bands[share::SHARES] for share in range(SHARES)], 1):
        join(search.parents, forest.documents.copy(), forest.others.copy())  # Ray's arrays are read-only
        large += forest.large
    shared.unlink()
    return sorted(large)


class _Search:
    """Connects near documents. Each of its buffers takes up to `memory` bytes."""

    def __init__(self, files: SketchFiles, settings: NearDuplicateSettings, memory: int) -> None:
        self.files, self.settings, self.memory = files, settings, memory
        self.parents = np.arange(files.documents, dtype=np.uint32)
        """The connections (`clusters`) [documents]."""
        self.comparer = Comparer(files, settings.ngram, memory)
        self.among = files.sizes > 0
        """Documents still to be searched [documents]."""

    def join_same_words(self) -> None:
        """Connects documents with the same words and keeps searching only the first of them."""
        for entries in pieces(self.files, self.settings.bands, self.among, self.memory):
            documents, buckets = buckets_of_more(entries, 1)
            del entries
            leaders = _leaders(documents, buckets)
            others = leaders != documents
            first, second = leaders[others], documents[others]
            same = self.comparer.similarities(first, second, least=1.0) == 1.0  # hashes may collide
            join(self.parents, first[same], second[same])
            self.among[second[same]] = False

    def join_small_buckets(self, bands: Sequence[int]) -> list[int]:
        """Compares all pairs in small buckets of these bands; returns the bands that also have large ones."""
        most = self.settings.max_bucket
        room = np.empty(max(self.memory // 8, most**2), np.uint64)
        full, with_larger = 0, []
        for band in bands:
            larger = False
            for entries in pieces(self.files, band, self.among, self.memory):
                place = 0
                while place < len(entries):
                    place, full, passed_over = pairs_of_small_buckets(
                        entries, place, most, self.files.sizes, self.settings.threshold, room, full
                    )
                    larger |= passed_over
                    if place < len(entries):
                        full = self._squeeze(room[:full])  # most pairs match in several bands
                        if full > len(room) // 2:
                            self._join(room[:full])
                            full = 0
            if larger:
                with_larger.append(band)
        self._join(room[: self._squeeze(room[:full])])
        return with_larger

    def join_large_buckets(self, bands: list[int]) -> None:
        """Compares the documents of large buckets with their leaders; these, and who is skipped, depend only on the
        connections made before, not on the order of bands and pieces."""
        before = roots(self.parents, np.arange(self.files.documents, dtype=np.uint32))
        documents, buckets = np.empty(0, np.uint32), np.empty(0, np.int64)
        named = 0
        for band in bands:
            for entries in pieces(self.files, band, self.among, self.memory // 4):
                members, places = buckets_of_more(entries, self.settings.max_bucket)
                documents, buckets = np.append(documents, members), np.append(buckets, places + named)
                named += len(entries)
                if len(documents) * MEMBER_MEMORY > self.memory:
                    self._lead(documents, buckets, before)
                    documents, buckets = documents[:0], buckets[:0]
        self._lead(documents, buckets, before)

    def similarities(self, keepers: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Similarity of each document to the one kept for it [documents]."""
        found = np.ones(len(keepers), np.float32)
        block = max(1, self.memory // PAIR_MEMORY)
        for begin in range(0, len(keepers), block):
            kept = keepers[begin : begin + block]
            documents = np.arange(begin, begin + len(kept), dtype=np.uint32)
            kept, documents = kept[kept != documents], documents[kept != documents]
            order = np.argsort(kept, kind="stable")
            found[documents[order]] = self.comparer.similarities(kept[order], documents[order])
        return found

    def _squeeze(self, pairs: NDArray[np.uint64]) -> int:
        pairs.sort()
        return squeeze(self.parents, pairs)

    def _join(self, pairs: NDArray[np.uint64]) -> None:
        block = max(1, self.memory // PAIR_MEMORY)
        for begin in range(0, len(pairs), block):
            part = pairs[begin : begin + block]
            first, second = (part >> HALF).astype(np.uint32), part.astype(np.uint32)
            self.comparer.join(first, second, self.parents, self.settings.threshold)

    def _lead(self, documents: NDArray[np.uint32], buckets: NDArray[np.int64], before: NDArray[np.uint32]) -> None:
        """Each round, the first document of a bucket leads, and documents near it leave the bucket."""
        threshold, sizes = self.settings.threshold, self.files.sizes
        for _ in range(self.settings.leaders):
            leaders = _leaders(documents, buckets)
            left = before[documents] != before[leaders]
            less, more = np.minimum(sizes[leaders], sizes[documents]), np.maximum(sizes[leaders], sizes[documents])
            tried = np.flatnonzero(left & (less / more >= threshold))
            pairs = leaders[tried].astype(np.uint64) << HALF | documents[tried]
            pairs, places = np.unique(pairs, return_inverse=True)  # most match in several bands
            first, second = (pairs >> HALF).astype(np.uint32), pairs.astype(np.uint32)
            near = self.comparer.similarities(first, second, threshold) >= threshold
            join(self.parents, first[near], second[near])
            left[tried[near[places]]] = False
            documents, buckets = documents[left], buckets[left]


def _leaders(documents: NDArray[np.uint32], buckets: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The first document of each one's bucket."""
    begins = np.flatnonzero(first_of_each(buckets))
    return np.repeat(documents[begins], np.diff(begins, append=len(documents)))
