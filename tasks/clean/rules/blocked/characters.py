"""Kinds and case folding of characters for the word search: tables built from Unicode data once per process."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

SIGN, BLANK, IN_WORD, WORD = range(4)
"""Punctuation or symbol; white space; part of a word; a word by itself, in scripts without spaces."""

TABLED = 0x20000
"""Size of the tables; characters beyond are ideographs or unassigned."""

IN_WORDS = ("L", "M", "N", "Pc")
"""General categories that form words: letters, marks, numbers, `_` (UAX #44, table 12)."""

UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),  # ideographs
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # ideographs
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x1B000, 0x1B16F),  # Kana
)
"""Blocks of scripts written without spaces between words (UAX #14, classes ID and SA)."""


def kinds_of(characters: Sequence[str]) -> NDArray[np.uint8]:
    """The kind of each character: SIGN, BLANK, IN_WORD or WORD."""
    points = np.fromiter(map(ord, characters), np.int64, len(characters))
    inside = np.fromiter((category(one).startswith(IN_WORDS) for one in characters), bool, len(characters))
    alone = points >= TABLED
    for first, last in UNSPACED:
        alone |= inside & (first <= points) & (points <= last)
    blank = np.fromiter(map(str.isspace, characters), bool, len(characters))
    return np.select([blank, alone, inside], [BLANK, WORD, IN_WORD], SIGN).astype(np.uint8)


def folded(character: str) -> str:
    """The case-folded character; itself if folding gives more than one character."""
    for one in (character.casefold(), character.lower()):
        if len(one) == 1:
            return one
    return character


class Characters(NamedTuple):
    """Kind and folded form of every character below TABLED."""

    kinds: NDArray[np.uint8]
    folds: NDArray[np.uint32]


@lru_cache(maxsize=1)
def tables() -> Characters:
    """The tables; takes 50 ms, then cached."""
    characters = [chr(point) for point in range(TABLED)]
    folds = np.arange(TABLED, dtype=np.uint32)
    for one, fold, lower in zip(characters, map(str.casefold, characters), map(str.lower, characters), strict=True):
        if fold != one or lower != one:
            folds[ord(one)] = ord(folded(one))
    return Characters(kinds_of(characters), folds)


ASCII_KINDS = kinds_of([chr(point) for point in range(128)])
ASCII_FOLDS = np.array([ord(folded(chr(point))) for point in range(128)], np.uint64)
"""The ASCII part of both tables, all that most texts need."""
