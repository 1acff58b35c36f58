"""Near-duplicates of a whole corpus, from the sketches of its batches: which documents stay, and in whose favour.

1. Documents with the same words: each is compared with the first of them, and the search goes on with that one alone.
2. Small buckets of all bands: all pairs are compared, and near ones connected.
3. Large buckets, as a template makes them: all documents are compared with the leaders of the bucket.
4. Of what is connected, the document with the least priority number stays, the first of these in corpus order.

Comparisons are exact, so precision is 1: a document goes because it is near to another one of its cluster. In a chain
of pairs it may be less like the one that stays; its similarity to that one is told. A near pair is connected for
certain where both are in one small bucket. In a large one it is where one of them is a leader; else both are compared
with the same leaders, and another band may bring them together.

Comparisons: at most documents · bands · (max_bucket / 2 + leaders). The result depends on the sketches and the
settings alone: not on how many files they are in, who wrote these, or on the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.clean.rules.near.candidates import buckets_of_more, first_of_each, pairs_of_small_buckets, pieces
from tasks.clean.rules.near.clusters import Clusters
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.jaccard import Comparer
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.workers.parallel_map import parallel_map

DOCUMENT_MEMORY = 30
"""Bytes that a document costs while it is resolved, whatever `memory` is."""

MEMORY = 512 << 20
"""Bytes for what is sorted, paired and compared at a time, beside those a document."""

PAIR_MEMORY = 64
"""Bytes that a pair costs while it is compared, without the words; 8 of them while it waits."""

MEMBER_MEMORY = 128
"""Bytes that a document of a large bucket costs."""

SHARES = 4
"""Parts into which the bands are written for a cluster; a near pair is compared in each part in which it agrees."""

HALF = np.uint64(32)


@dataclass(frozen=True)
class NearDuplicates:
    """What becomes of each document of a corpus."""

    keepers: NDArray[np.uint32]
    """The number of the document that stays for it; its own where it stays [documents]."""
    similarities: NDArray[np.float32]
    """Jaccard similarity to that document; 1 for one that stays [documents]."""
    stored: int
    """Bytes of the sketch files: 12 + 4 · bands a document, and 4 a word."""

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
    """The near-duplicates among the documents of sketch files, numbered through all files in the order of `paths`.

    `priorities`: of each document; of a cluster, the least stays: 0 for test, 1 for validation, 2 for train, and a
    training document that is nearly a test document goes. None: the first in corpus order stays.

    Holds 30 bytes a document and about `memory` bytes, however large the corpus is: keys and words stay in the files
    and are read again, the keys as often as the documents of a band do not fit into the memory. Where a single bucket
    does not, it takes 128 bytes for each of its documents.

    `shared`: a file that the workers of a cluster can read, where one is to search: each finds what its bands connect,
    and what all of them found is put together here. None: all in this process, which compares fewer pairs.

    Costs about 11 ns a byte of English text on one processor where `memory` is a third of the text or more, 14 with a
    fifth, 26 with a twentieth.

    Raises DataError for a file that is no sketch made with these settings' bands.
    """
    files = SketchFiles(paths, settings.bands)
    clusters = Clusters(files.documents)
    search = _Search(files, clusters, settings, memory // 4)
    search.join_same_words()
    every = range(settings.bands)
    large = search.join_small_buckets(every) if shared is None else _spread(search, every, paths, memory, shared)
    search.join_large_buckets(large)
    if priorities is None:
        priorities = np.zeros(files.documents, np.uint8)
    keepers = clusters.keepers(priorities)
    return NearDuplicates(keepers, search.similarities(keepers), files.bytes)


@dataclass(frozen=True)
class Forest:
    """What the small buckets of some bands connect."""

    documents: NDArray[np.uint32]
    others: NDArray[np.uint32]
    """Each document is in one set with the one at its place [connected]."""
    large: list[int]
    """Bands that have large buckets, too."""


def forest_of(
    bands: Sequence[int], paths: Sequence[Path], settings: NearDuplicateSettings, shared: Path, memory: int
) -> Forest:
    """The work of one worker; `shared` says which documents are looked at."""
    files = SketchFiles(paths, settings.bands)
    clusters = Clusters(files.documents)
    search = _Search(files, clusters, settings, memory // 4)
    search.among = np.load(shared)
    large = search.join_small_buckets(bands)
    documents = np.flatnonzero(clusters.parents != np.arange(files.documents)).astype(np.uint32)
    return Forest(documents, clusters.parents[documents], large)


def _spread(search: "_Search", bands: Sequence[int], paths: Sequence[Path], memory: int, shared: Path) -> list[int]:
    """What `join_small_buckets` does, by a cluster."""
    with shared.open("wb") as file:
        np.save(file, search.among)
    work = partial(forest_of, paths=paths, settings=search.settings, shared=shared, memory=memory)
    large: list[int] = []
    for forest in parallel_map(work, [bands[share::SHARES] for share in range(SHARES)], 1):
        search.clusters.join(forest.documents.copy(), forest.others.copy())  # Ray's arrays are not to be written to
        large += forest.large
    shared.unlink()
    return sorted(large)


class _Search:
    """Connects near documents. Each of the things that it holds at a time takes up to `memory` bytes."""

    def __init__(self, files: SketchFiles, clusters: Clusters, settings: NearDuplicateSettings, memory: int) -> None:
        self.files, self.clusters, self.settings, self.memory = files, clusters, settings, memory
        self.comparer = Comparer(files, settings.ngram, memory)
        self.among = files.sizes > 0
        """Documents that are looked at [documents]."""

    def join_same_words(self) -> None:
        """Connects documents with the same words; from now on only the first of them is looked at."""
        for entries in pieces(self.files, self.settings.bands, self.among, self.memory):
            documents, buckets = buckets_of_more(entries, 1)
            del entries
            leaders = _leaders(documents, buckets)
            others = leaders != documents
            first, second = leaders[others], documents[others]
            same = self.comparer.similarities(first, second, least=1.0) == 1.0  # their hashes might be so by chance
            self.clusters.join(first[same], second[same])
            self.among[second[same]] = False

    def join_small_buckets(self, bands: Sequence[int]) -> list[int]:
        """Compares all pairs of the small buckets of these bands; returns the bands that have large ones."""
        room = np.empty(max(self.memory // 8, self.settings.max_bucket**2), np.uint64)
        full, with_larger = 0, []
        for band in bands:
            larger = False
            for entries in pieces(self.files, band, self.among, self.memory):
                place = 0
                while place < len(entries):
                    place, full, passed_over = pairs_of_small_buckets(
                        entries,
                        place,
                        self.settings.max_bucket,
                        self.files.sizes,
                        self.settings.threshold,
                        room,
                        full,
                    )
                    larger |= passed_over
                    if place < len(entries):
                        full = self.clusters.squeeze(room[:full])  # most pairs are of several bands
                        if full > len(room) // 2:
                            self._join(room[:full])
                            full = 0
            if larger:
                with_larger.append(band)
        self._join(room[: self.clusters.squeeze(room[:full])])
        return with_larger

    def join_large_buckets(self, bands: list[int]) -> None:
        """Compares the documents of the large buckets of these bands with their leaders.

        Who leads, and who need not be compared, follows from what was connected before, so that the order of the
        bands and the pieces makes no difference.
        """
        if not bands:
            return
        before = self.clusters.roots(np.arange(self.files.documents, dtype=np.uint32))
        documents, buckets = [], []
        waiting = named = 0
        for band in bands:
            for entries in pieces(self.files, band, self.among, self.memory // 4):
                members, places = buckets_of_more(entries, self.settings.max_bucket)
                documents.append(members)
                buckets.append(places + named)
                named += len(entries)
                waiting += len(members)
                if waiting * MEMBER_MEMORY > self.memory:
                    self._lead(np.concatenate(documents), np.concatenate(buckets), before)
                    documents, buckets, waiting = [], [], 0
        if documents:
            self._lead(np.concatenate(documents), np.concatenate(buckets), before)

    def similarities(self, keepers: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Of each document with the one that stays for it [documents]."""
        found = np.ones(len(keepers), np.float32)
        block = max(1, self.memory // PAIR_MEMORY)
        for begin in range(0, len(keepers), block):
            kept = keepers[begin : begin + block]
            documents = np.arange(begin, begin + len(kept), dtype=np.uint32)
            kept, documents = kept[kept != documents], documents[kept != documents]
            order = np.argsort(kept, kind="stable")
            found[documents[order]] = self.comparer.similarities(kept[order], documents[order])
        return found

    def _join(self, pairs: NDArray[np.uint64]) -> None:
        block = max(1, self.memory // PAIR_MEMORY)
        for begin in range(0, len(pairs), block):
            part = pairs[begin : begin + block]
            first, second = (part >> HALF).astype(np.uint32), part.astype(np.uint32)
            self.comparer.join(first, second, self.clusters, self.settings.threshold)

    def _lead(self, documents: NDArray[np.uint32], buckets: NDArray[np.int64], before: NDArray[np.uint32]) -> None:
        """Round by round, the first document of a bucket leads; those that are near to it leave the bucket."""
        threshold, sizes = self.settings.threshold, self.files.sizes
        for _ in range(self.settings.leaders):
            leaders = _leaders(documents, buckets)
            left = before[documents] != before[leaders]
            less, more = np.minimum(sizes[leaders], sizes[documents]), np.maximum(sizes[leaders], sizes[documents])
            tried = np.flatnonzero(left & (less / more >= threshold))
            pairs = leaders[tried].astype(np.uint64) << HALF | documents[tried]
            pairs, places = np.unique(pairs, return_inverse=True)  # most are of several bands
            first, second = (pairs >> HALF).astype(np.uint32), pairs.astype(np.uint32)
            near = self.comparer.similarities(first, second, threshold) >= threshold
            self.clusters.join(first[near], second[near])
            left[tried[near[places]]] = False
            documents, buckets = documents[left], buckets[left]


def _leaders(documents: NDArray[np.uint32], buckets: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The first document of the bucket of each."""
    begins = np.flatnonzero(first_of_each(buckets))
    return np.repeat(documents[begins], np.diff(begins, append=len(documents)))
