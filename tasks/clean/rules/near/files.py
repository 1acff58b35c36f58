"""Reads sketch files: by column for all documents, or the words of selected documents.

Documents are numbered across all files, in the order of the paths.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.rules.near.sketch import FORMAT
from tasks.clean.rules.near.words import Words
from tasks.stage.errors import DataError

HEADER = 4 * 8
WORD = 4

GAP = 8 << 10
"""Maximum gap in bytes between two documents up to which one read is faster than two."""

READ = 4 << 20
"""Bytes per read; a larger document is read at once."""


class SketchFiles:
    """The sketches of a corpus. Holds 16 bytes per document: offset and number of its words, number of shingles.

    Raises DataError if a file is not a sketch, is truncated, or has another number of bands.
    """

    def __init__(self, paths: Sequence[Path], bands: int) -> None:
        self.paths = list(paths)
        headers = np.array([_header(path, bands) for path in self.paths], np.int64).reshape(-1, 2)
        self.first = np.concatenate(([0], np.cumsum(headers[:, 0])))
        """Number of the first document of each file, and of all documents [files + 1]."""
        self.documents = int(self.first[-1])
        if self.documents >= 1 << 32:
            raise DataError(f"{self.paths[0].parent}: {self.documents} documents, but the limit is 2^32")
        self.bands = bands
        self._begins = HEADER + headers[:, 0] * (12 + 4 * bands)
        """Byte offset of the words in each file [files]."""
        self.sizes = np.empty(self.documents, np.uint32)
        """Unique shingles of each document [documents]."""
        self.counts = np.empty(self.documents, np.uint32)
        """Words of each document [documents]."""
        self.bytes = sum(path.stat().st_size for path in self.paths)
        """Total size of the files."""
        self._places = np.empty(self.documents, np.int64)
        """Byte offset of each document's words in its file [documents]."""
        for number, first, last in self._spans():
            size = last - first
            self.sizes[first:last] = self._read(number, HEADER, size)
            self.counts[first:last] = counts = self._read(number, HEADER + 4 * size, size)
            ends = np.cumsum(counts, dtype=np.int64) * WORD
            self._places[first:last] = self._begins[number] + ends - counts.astype(np.int64) * WORD

    def keys(self, row: int) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """Per file: the number of its first document and the keys of its documents. Row `bands` hashes the text."""
        for number, first, last in self._spans():
            size = last - first
            yield first, self._read(number, HEADER + (8 + 4 * row) * size, size)

    def words(self, documents: NDArray[np.int64]) -> Words:
        """The words of some documents, given in ascending order."""
        counts = self.counts[documents].astype(np.int64)
        found = np.empty(int(counts.sum()), np.uint32)
        targets = np.cumsum(counts) - counts
        places, ends = self._places[documents], self._places[documents] + counts * WORD
        files = np.searchsorted(self.first, documents, side="right") - 1
        stretches = self._stretches(places, ends, files)
        room = np.empty(max((int(ends[end - 1] - places[begin]) for begin, end in stretches), default=0), np.uint8)
        for number, together in groupby(stretches, key=lambda stretch: int(files[stretch[0]])):
            with self.paths[number].open("rb", buffering=0) as file:
                for begin, end in together:
                    first = int(places[begin])
                    file.seek(first)
                    file.readinto(room[: int(ends[end - 1]) - first].data)
                    part = slice(begin, end)
                    _gather(room.view(np.uint32), (places[part] - first) // WORD, targets[part], counts[part], found)
        return Words(found, counts)

    def _stretches(
        self, places: NDArray[np.int64], ends: NDArray[np.int64], files: NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        """Ranges of documents to read at once: close together in one file, and within one READ block."""
        block = places // READ
        apart = (files[1:] != files[:-1]) | (block[1:] != block[:-1]) | (places[1:] - ends[:-1] > GAP)
        cuts = [0, *(np.flatnonzero(apart) + 1).tolist(), len(places)]
        return list(pairwise(cuts)) if len(places) else []

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        for number, (first, last) in enumerate(pairwise(self.first.tolist())):
            yield number, first, last

    def _read(self, number: int, place: int, count: int) -> NDArray[np.uint32]:
        return np.fromfile(self.paths[number], np.uint32, count, offset=place)


def _header(path: Path, bands: int) -> tuple[int, int]:
    """Documents and words of a sketch file."""
    size = path.stat().st_size
    kind, documents, found, words = np.fromfile(path, np.int64, 4) if size >= HEADER else (0, 0, 0, 0)
    if kind != FORMAT or size != HEADER + documents * (12 + 4 * found) + words * WORD:
        raise DataError(f"{path}: not a complete sketch file")
    if found != bands:
        raise DataError(f"{path}: has {found} bands, expected {bands}")
    return int(documents), int(words)


@array_kernel
def _gather(
    stretch: NDArray[np.uint32],
    places: NDArray[np.int64],
    targets: NDArray[np.int64],
    counts: NDArray[np.int64],
    found: NDArray[np.uint32],
) -> None:
    """Copies the words of each document from its place in a stretch to its place in `found`."""
    for document in range(len(places)):
        place, target = places[document], targets[document]
        for word in range(counts[document]):
            found[target + word] = stretch[place + word]
