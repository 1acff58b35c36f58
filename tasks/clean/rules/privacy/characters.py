"""Compiled helpers for a search of UTF-8 bytes: words, separators between digits, names in a set.

`text` holds the bytes of a whole column; `begin` and `end` bound the current document in it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper

Text = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Marks = NDArray[np.bool_]

BLANK, HYPHEN, DOT, SLASH = 1, 2, 3, 4
"""Kinds of separators; spaces of any width are BLANKs, hyphens of any kind, en dashes and minus signs are HYPHENs."""

COUNTED_DIGITS = 20

FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def table(characters: str) -> Marks:
    """Which bytes are one of these ASCII characters [256, bool]."""
    found = np.zeros(256, np.bool_)
    found[list(characters.encode("ascii"))] = True
    return found


LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
ALPHANUMERIC = DIGITS + LOWER + LOWER.upper()

IS_DIGIT = table(DIGITS)
IS_UPPER = table(LOWER.upper())
IS_LETTER = table(LOWER + LOWER.upper())
IS_WORD = table(ALPHANUMERIC + "_")


def hashes(names: Iterable[str]) -> NDArray[np.uint64]:
    """Hashes of lower-case names, sorted for `is_among`. Raises ValueError if two names share a hash."""
    found = []
    for name in names:
        value = FNV_BASIS
        for byte in name.encode():
            value = (value ^ byte) * FNV_PRIME % 2**64
        found.append(value)
    if len(set(found)) < len(found):
        raise ValueError("two names share a hash")
    return np.array(sorted(found), np.uint64)


@helper
def is_among(names: NDArray[np.uint64], text: Text, start: int, stop: int) -> bool:
    """Are the bytes in [start, stop) one of the names, ignoring ASCII case? (64-bit FNV-1a,
    http://www.isthe.com/chongo/tech/comp/fnv)"""
    value = np.uint64(FNV_BASIS)
    for i in range(start, stop):
        byte = text[i] | np.uint8(0x20) if IS_UPPER[text[i]] else text[i]
        value = (value ^ np.uint64(byte)) * np.uint64(FNV_PRIME)
    low, high = 0, len(names)
    while low < high:
        middle = (low + high) >> 1
        if names[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < len(names) and names[low] == value


@helper
def digits_from(text: Text, at: int, end: int) -> int:
    """Number of digits from `at` on, up to `COUNTED_DIGITS`: no number we look for has so many in a row."""
    i = at
    while i < end and i - at < COUNTED_DIGITS and IS_DIGIT[text[i]]:
        i += 1
    return i - at


@helper
def number_at(text: Text, at: int, length: int, value: int) -> int:
    """`value` with these digits appended."""
    for i in range(at, at + length):
        value = value * 10 + text[i] - ord("0")
    return value


@helper
def separator(text: Text, at: int, end: int) -> tuple[int, int]:
    """Kind and bytes of the separator at `at`; (0, 0) if none."""
    if at >= end:
        return 0, 0
    byte = text[at]
    if byte == ord(" "):
        return BLANK, 1
    if byte == ord("-"):
        return HYPHEN, 1
    if byte == ord("."):
        return DOT, 1
    if byte == ord("/"):
        return SLASH, 1
    if byte == 0xC2 and at + 1 < end and text[at + 1] == 0xA0:
        return BLANK, 2
    if byte >= 0xE2 and at + 2 < end:
        kind = _wide(byte, text[at + 1], text[at + 2])
        return kind, 3 if kind else 0
    return 0, 0


@helper
def _wide(first: int, second: int, third: int) -> int:
    """The kind of separator that these three bytes are; 0 if none."""
    if first == 0xE2 and second == 0x80:
        if third <= 0x8A or third == 0xAF:  # U+2000 to U+200A, U+202F
            return BLANK
        return HYPHEN if 0x90 <= third <= 0x93 else 0  # U+2010 to U+2013
    if (first == 0xE2 and second == 0x81 and third == 0x9F) or (first == 0xE3 and second == 0x80 and third == 0x80):
        return BLANK  # U+205F, U+3000
    if first == 0xE2 and second == 0x88 and third == 0x92:
        return HYPHEN  # U+2212
    small = first == 0xEF and second == 0xB9 and third == 0xA3
    return HYPHEN if small or (first == 0xEF and second == 0xBC and third == 0x8D) else 0  # U+FE63, U+FF0D


@helper
def before_blank(text: Text, at: int, begin: int) -> int:
    """Start of the space that ends at `at`; -1 if none."""
    if at > begin and text[at - 1] == ord(" "):
        return at - 1
    if at - 1 > begin and text[at - 2] == 0xC2 and text[at - 1] == 0xA0:
        return at - 2
    if at - 2 > begin and _wide(text[at - 3], text[at - 2], text[at - 1]) == BLANK:
        return at - 3
    return -1


@helper
def begins(text: Text, at: int, begin: int) -> bool:
    """Can a number begin here: not within a word, longer number, path or sum?"""
    if at == begin:
        return True
    byte = text[at - 1]
    return not (IS_WORD[byte] or byte == ord(".") or byte == ord("-") or byte == ord("/") or byte == ord("+"))


@helper
def stops(text: Text, at: int, end: int) -> bool:
    """Can a number end here: no word continues, not even after a dot, hyphen or plus, and no email address?"""
    if at == end:
        return True
    byte = text[at]
    if IS_WORD[byte] or byte == ord("@"):
        return False
    if byte == ord(".") or byte == ord("-") or byte == ord("+"):
        return at + 1 == end or not IS_WORD[text[at + 1]]
    return True


@helper
def beside_number(text: Text, start: int, stop: int, begin: int, end: int) -> bool:
    """Is there a digit on either side, separated by a space?"""
    before = before_blank(text, start, begin)
    if before > begin and IS_DIGIT[text[before - 1]]:
        return True
    kind, width = separator(text, stop, end)
    return kind == BLANK and stop + width < end and IS_DIGIT[text[stop + width]]
