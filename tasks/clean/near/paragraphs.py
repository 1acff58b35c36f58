"""Paragraphs that were there before, in this document or one before it in corpus order, with the same words.

Two documents that share a notice or a menu are not near-duplicates, but the notice is there twice. As CCNet does with
lines (Wenzek et al. 2020, arXiv 1911.00359, section 3.1).

    paragraphs = paragraphs_of(batch.column("text"), settings)    # of any batch, in any process
    staying = seen.first(paragraphs)                              # batch by batch in corpus order
    texts = without(batch.column("text"), paragraphs, staying)    # in any process
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.clean.near.compiled import kernel
from tasks.clean.near.hash_set import HashSet
from tasks.clean.near.ngrams import hash_texts
from tasks.clean.near.settings import ParagraphSettings
from tasks.clean.near.words import utf8, words_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Paragraphs:
    """The paragraphs of some documents, one document after the other; together they are all of their text."""

    hashes: NDArray[np.uint64]
    """Of the words of each; 0 for one that always stays [paragraphs]."""
    sizes: NDArray[np.int64]
    """Bytes of each, with the line ends behind it [paragraphs]."""
    counts: NDArray[np.int64]
    """Paragraphs of each document; an empty one has none [documents]."""


class SeenParagraphs:
    """Remembers the paragraphs that it was shown: 11 to 21 bytes for each that is different."""

    def __init__(self) -> None:
        self._seen = HashSet()

    def first(self, paragraphs: Paragraphs) -> NDArray[np.bool_]:
        """Which paragraphs stay: those that were not there before, and those that always do [paragraphs]."""
        judged = paragraphs.hashes != 0
        staying = ~judged
        staying[judged] = self._seen.add(paragraphs.hashes[judged])
        return staying


def paragraphs_of(texts: "pa.Array | pa.ChunkedArray", settings: ParagraphSettings) -> Paragraphs:
    """The paragraphs of a column of strings with line feeds as line ends; null has none.

    A paragraph ends behind a line feed, or all of two and more where blank lines are the separator. Costs about 10 ns a
    byte of text.
    """
    import pyarrow as pa

    data, offsets = utf8(texts)
    least = 2 if settings.separator == "blank_line" else 1
    counts = np.empty(len(offsets) - 1, np.int64)
    _split(data, offsets, least, counts, np.empty(0, np.int64))
    sizes = np.empty(int(counts.sum()), np.int64)
    _split(data, offsets, least, counts, sizes)
    ends = np.concatenate(([0], np.cumsum(sizes)))
    content = np.ascontiguousarray(data[offsets[0] : offsets[-1]])
    each = pa.LargeStringArray.from_buffers(len(sizes), pa.py_buffer(ends), pa.py_buffer(content))
    words = words_of(each)
    hashes = np.where(words.counts >= settings.min_words, hash_texts(words), np.uint64(0))
    return Paragraphs(hashes, sizes, counts)


def without(
    texts: "pa.Array | pa.ChunkedArray", paragraphs: Paragraphs, staying: NDArray[np.bool_]
) -> "pa.LargeStringArray":
    """The texts with the paragraphs that stay alone, byte for byte; at the end of a text no line feeds are left over.

    The texts of documents that lose nothing are not touched. One that loses everything is empty.
    """
    import pyarrow as pa

    data, offsets = utf8(texts)
    content = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _keep(data, int(offsets[0]), paragraphs.sizes, paragraphs.counts, staying, content, ends)
    kept = content[: ends[-1]]
    return pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(kept))


@kernel
def _split(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    least: int,
    counts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Writes the paragraphs of each document and, where there is room for them, the bytes of each paragraph."""
    found = 0
    for document in range(len(counts)):
        first = found
        begin, place, end = offsets[document], offsets[document], offsets[document + 1]
        while place < end:
            feeds = 0
            while place < end and data[place] == 10:
                place += 1
                feeds += 1
            if feeds >= least or place == end:
                if len(sizes):
                    sizes[found] = place - begin
                found += 1
                begin = place
            while place < end and data[place] != 10:
                place += 1
        if begin < end:
            if len(sizes):
                sizes[found] = end - begin
            found += 1
        counts[document] = found - first


@kernel
def _keep(
    data: NDArray[np.uint8],
    begin: int,
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    staying: NDArray[np.bool_],
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Copies what stays, and writes where the text of each document ends."""
    paragraph, written = 0, 0
    for document in range(len(counts)):
        lost_last = False
        start = written
        for _ in range(counts[document]):
            if staying[paragraph]:
                for place in range(begin, begin + sizes[paragraph]):
                    content[written] = data[place]
                    written += 1
            lost_last = not staying[paragraph]
            begin += sizes[paragraph]
            paragraph += 1
        while lost_last and written > start and content[written - 1] == 10:
            written -= 1
        ends[document + 1] = written
