"""The words of texts as 32-bit hashes, straight from the UTF-8 of an Arrow column.

A word is a maximal run of letters and digits (Unicode L and N; marks belong to the letter before them), lower-cased by
code point. Everything else separates words, including `_` and `'`. In scripts without spaces (Han, Hiragana, Katakana,
Thai, Lao, Khmer, Burmese) every letter is a word.

Two different words collide with probability 1 in 2^32. The words themselves are not kept.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel
from tasks.formats.utf8 import utf8

if TYPE_CHECKING:
    import pyarrow as pa

LETTER, MARK, ALONE = 1, 2, 3
"""Classes of code points: part of a word; part of a word only after a letter; a word by itself."""

CLASS_SHIFT = 24
CODES = 0x40000
"""Code points in the table. Beyond are only variation selectors and private use, which separate words."""

WITHOUT_BLANKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # Han iteration marks
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana for Ainu
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x20000, 0x3FFFF),  # Han
)
"""Inclusive ranges of scripts where each letter is a word."""

FINAL_SIGMA, SIGMA = 0x3C2, 0x3C3


@dataclass(frozen=True)
class Words:
    """The words of consecutive documents."""

    hashes: NDArray[np.uint32]
    """[words of all documents]"""
    counts: NDArray[np.int64]
    """Words per document [documents]."""


def words_of(texts: "pa.Array | pa.ChunkedArray") -> Words:
    """The words of a column of strings; null has none.

    Takes about 5 ns and 4 bytes of working memory per byte of text; returns 4 bytes per word.
    """
    data, offsets = utf8(texts)
    counts = np.zeros(len(offsets) - 1, np.int64)
    size = int(offsets[-1] - offsets[0])
    # A word takes at least two bytes (itself and a separator), the last of a document one; a word by itself three.
    states = np.empty((size + len(counts)) // 2 + 1, np.uint64)
    return Words(_hash_words(data, offsets, _classes(), states, counts), counts)


@lru_cache(maxsize=1)
def _classes() -> NDArray[np.uint32]:
    """For each code point its lower case and, from bit CLASS_SHIFT up, its class; 0 for separators [CODES]."""
    kinds = np.frombuffer("".join(unicodedata.category(chr(code))[0] for code in range(CODES)).encode(), np.uint8)
    letters, marks = np.isin(kinds, list(b"LN")), kinds == ord("M")
    alone = np.zeros(CODES, bool)
    for first, last in WITHOUT_BLANKS:
        alone[first : last + 1] = kinds[first : last + 1] == ord("L")
    table = np.zeros(CODES, np.uint32)
    codes = np.flatnonzero(letters)
    lower = np.fromiter(map(_lower, codes.tolist()), np.uint32, len(codes))
    table[codes] = np.where(alone[codes], ALONE << CLASS_SHIFT, LETTER << CLASS_SHIFT).astype(np.uint32) | lower
    table[marks] = (MARK << CLASS_SHIFT) | np.flatnonzero(marks).astype(np.uint32)
    return table


def _lower(code: int) -> int:
    """The lower case of a code point: the first character of `str.lower`, with both sigmas unified."""
    lower = ord(chr(code).lower()[0])
    return SIGMA if lower == FINAL_SIGMA else lower


@array_kernel
def _decode(data: NDArray[np.uint8], place: np.uint64, end: np.uint64) -> tuple[np.uint32, np.uint64]:
    """Decode a multi-byte code point before `end`; returns it and the next position.

    Invalid UTF-8, which Arrow does not rule out, gives an invalid code point.
    """
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    code = np.uint32(data[place])
    place += one
    more = one if code < np.uint32(0xE0) else (two if code < np.uint32(0xF0) else three)
    if code < np.uint32(0xC0) or place + more > end:
        return np.uint32(0xFFFFFFFF), place
    code &= np.uint32(0x3F) >> np.uint32(more)
    for _ in range(more):
        code = (code << np.uint32(6)) | (np.uint32(data[place]) & np.uint32(0x3F))
        place += one
    return code, place


@array_kernel
def _hash_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint32],
    states: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> NDArray[np.uint32]:
    """Writes a state per word and the words per document; returns the hashes, the mixed upper halves of the states.

    Branch-free for ASCII: each byte writes the state of the current word, and the output position advances after it.
    Unsigned throughout, so the compiler skips checks for negative indices.
    """
    one, zero, nothing = np.uint64(1), np.uint64(0), np.uint32(0)
    prime = np.uint64(0x9E3779B97F4A7C15)
    mark, alone, shift = np.uint32(2), np.uint32(3), np.uint32(24)
    ascii_end, last = np.uint32(0x80), np.uint32(classes.size - 1)
    found = zero
    for document in range(len(counts)):
        place, end, first = np.uint64(offsets[document]), np.uint64(offsets[document + 1]), found
        state, inside = zero, zero
        while place < end:
            code = np.uint32(data[place])
            if code < ascii_end:
                entry = classes[code]
                place += one
            else:
                code, place = _decode(data, place, end)
                entry = classes[min(code, last)]
                if entry >> shift == alone:  # ends the current word; is a word with the marks after it
                    states[found] = state
                    found += inside
                    state, inside = np.uint64(entry) * prime, zero
                    while place < end and data[place] >= ascii_end:
                        code, behind = _decode(data, place, end)
                        entry = classes[min(code, last)]
                        if entry >> shift != mark:
                            break
                        state, place = (state ^ np.uint64(entry)) * prime, behind
                    states[found] = state
                    found += one
                    state = zero
                    continue
                if entry >> shift == mark and inside == zero:
                    entry = nothing
            now = one if entry != nothing else zero
            states[found] = state
            found += inside & (now ^ one)
            inside = now
            state = ((state ^ np.uint64(entry)) * prime) & (zero - now)
        states[found] = state
        found += inside
        counts[document] = found - first
    hashes = np.empty(found, np.uint32)
    for word in range(len(hashes)):
        state = states[word]
        state = (state ^ (state >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        hashes[word] = np.uint32(state >> np.uint64(32))
    return hashes
