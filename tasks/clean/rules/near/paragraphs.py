"""Removes repeated paragraphs: those with the same words as an earlier one in the corpus.

Documents that share a notice or a menu are not near-duplicates, yet the notice repeats. CCNet does the same with lines
(Wenzek et al. 2020, arXiv 1911.00359, section 3.1).

    write_paragraphs(paragraphs_of(batch.column("text"), settings), path)      # for any batch, in any process
    staying = first_paragraphs(paths, priorities)                              # once, for the whole corpus
    texts = without(batch.column("text"), read_paragraphs(path), staying[0])   # for any batch, in any process

A paragraph file is a header of three 64-bit numbers (FORMAT, documents, paragraphs) followed by the arrays of
`Paragraphs`, in native byte order: 16 bytes per paragraph and 8 per document.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.clean.exact import GONE
from tasks.clean.rules.near.hash_set import HashSet
from tasks.clean.rules.near.ngrams import hash_texts
from tasks.clean.rules.near.settings import ParagraphSettings
from tasks.clean.rules.near.words import words_of
from tasks.formats.utf8 import utf8
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = int.from_bytes(b"parag. 1", "little")
"""Magic number of a paragraph file."""

HEADER = 3 * 8

MEMORY = 512 << 20
"""Bytes for the hashes held at a time."""

HASH_MEMORY = 24
"""Bytes per hash held."""


@dataclass(frozen=True)
class Paragraphs:
    """The paragraphs of consecutive documents; together they cover the whole text."""

    hashes: NDArray[np.uint64]
    """Hash of each paragraph's words; 0 if it always stays [paragraphs]."""
    sizes: NDArray[np.int64]
    """Bytes of each paragraph, including the line feeds after it [paragraphs]."""
    counts: NDArray[np.int64]
    """Paragraphs per document; 0 if empty [documents]."""


def paragraphs_of(texts: "pa.Array | pa.ChunkedArray", settings: ParagraphSettings) -> Paragraphs:
    """The paragraphs of a column of strings with line feeds as line ends; null has none.

    A paragraph ends after a run of line feeds: at least one, or two if blank lines are the separator. Takes about 10 ns
    per byte of text.
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
    hashes = hash_texts(words.hashes, words.counts)
    hashes[words.counts < settings.min_words] = 0
    return Paragraphs(hashes, sizes, counts)


def write_paragraphs(paragraphs: Paragraphs, path: Path) -> None:
    """Write paragraphs to a file; the same paragraphs give the same bytes."""
    with path.open("wb") as file:
        np.array([FORMAT, len(paragraphs.counts), len(paragraphs.sizes)], np.int64).tofile(file)
        for array in astuple(paragraphs):
            array.tofile(file)


def read_paragraphs(path: Path) -> Paragraphs:
    """Read a paragraph file. Raises DataError if it is not one or is incomplete."""
    _, paragraphs = _header(path)
    data = np.fromfile(path, np.int64, offset=HEADER)
    hashes, sizes, counts = np.split(data, (paragraphs, 2 * paragraphs))
    return Paragraphs(hashes.view(np.uint64), sizes, counts)


def first_paragraphs(
    paths: Sequence[Path], priorities: NDArray[np.uint8] | None = None, memory: int = MEMORY
) -> list[NDArray[np.bool_]]:
    """Which paragraphs of each file stay: the first occurrences, and short ones.

    `priorities`: per document across all files in the order of `paths`; a paragraph stays in the document with the
    lowest one (0 test, 1 validation, 2 train), ties by corpus order. GONE: its paragraphs are ignored. None: all equal.

    Uses a byte per paragraph plus about `memory` bytes, which do not affect the result: hashes are compared in ranges
    that fit into memory, and the files are read once per range. Raises DataError if a file is not a paragraph file.
    """
    headers = np.array([_header(path) for path in paths], np.int64).reshape(-1, 2)
    documents, total = headers.sum(axis=0).tolist()
    priorities = np.zeros(documents, np.uint8) if priorities is None else priorities
    ends = np.concatenate(([0], np.cumsum(headers[:, 0]))).tolist()
    parts = [priorities[first:last] for first, last in pairwise(ends)]
    staying = [np.zeros(count, np.bool_) for count in headers[:, 1].tolist()]
    pieces = max(1, -(-total * HASH_MEMORY // memory))
    for piece in range(pieces):
        low, high = (-(-(number << 64) // pieces) for number in (piece, piece + 1))
        seen = HashSet(total // pieces)
        for priority in sorted(set(np.unique(priorities).tolist()) - {GONE}):
            for path, part, found in zip(paths, parts, staying, strict=True):
                if (part == priority).any():
                    _mark_first(read_paragraphs(path), part == priority, low, high, seen, found)
    return staying


def _mark_first(
    paragraphs: Paragraphs, among: NDArray[np.bool_], low: int, high: int, seen: HashSet, found: NDArray[np.bool_]
) -> None:
    """Marks the paragraphs of documents `among` not yet in `seen`, with hashes from `low` to below `high`."""
    hashes = paragraphs.hashes
    (asked,) = np.nonzero(np.repeat(among, paragraphs.counts) & (hashes >= low) & (hashes <= high - 1))
    judged = hashes[asked] != 0
    found[asked[~judged]] = True
    found[asked[judged]] = seen.add(hashes[asked[judged]])


def _header(path: Path) -> tuple[int, int]:
    """Documents and paragraphs of a file."""
    size = path.stat().st_size
    kind, documents, paragraphs = np.fromfile(path, np.int64, 3).tolist() if size >= HEADER else (0, 0, 0)
    if kind != FORMAT or size != HEADER + 16 * paragraphs + 8 * documents:
        raise DataError(f"{path}: not a complete paragraph file")
    return documents, paragraphs


def without(
    texts: "pa.Array | pa.ChunkedArray", paragraphs: Paragraphs, staying: NDArray[np.bool_]
) -> "pa.LargeStringArray":
    """The texts with only the paragraphs in `staying`, and no line feeds left over at the end.

    Texts that lose no paragraph are unchanged; texts that lose all are empty.
    """
    import pyarrow as pa

    data, offsets = utf8(texts)
    content = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _keep(data, int(offsets[0]), paragraphs.sizes, paragraphs.counts, staying, content, ends)
    kept = content[: ends[-1]]
    return pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(kept))


@array_kernel
def _split(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], least: int, counts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> None:
    """Writes the paragraphs per document and, unless `sizes` is empty, the bytes per paragraph."""
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


@array_kernel
def _keep(
    data: NDArray[np.uint8],
    begin: int,
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    staying: NDArray[np.bool_],
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Copies the paragraphs that stay and writes the end offset of each text."""
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
