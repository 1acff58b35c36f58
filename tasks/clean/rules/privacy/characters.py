"""Bytes of UTF-8 and what they mean to a search: words, separators between digits, names in a set; all compiled.

`text` is the bytes of a whole column, `begin` and `end` are where the document in question begins and ends in it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper

Text = NDArray[np.uint8]

BLANK, HYPHEN, DOT, SLASH = 1, 2, 3, 4
"""Kinds of separators; a no-break space is a blank, a no-break hyphen a hyphen."""

COUNTED_DIGITS = 20

FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def table(characters: str) -> NDArray[np.bool_]:
    """Which bytes are one of these ASCII characters [256]."""
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
    """The hashes of lower-case names, sorted for `is_among`. Raises ValueError where two are the same."""
    found = []
    for name in names:
        value = FNV_BASIS
        for byte in name.encode():
            value = (value ^ byte) * FNV_PRIME % 2**64
        found.append(value)
    if len(set(found)) < len(found):
        raise ValueError("two names have one hash")
    return np.array(sorted(found), np.uint64)


@helper
def is_among(names: NDArray[np.uint64], text: Text, start: int, stop: int) -> bool:
    """Are the bytes in [start, stop) one of the names, whatever the case of ASCII letters? (64-bit FNV-1a,
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
    """How many digits stand at a place, `COUNTED_DIGITS` at most: no number that is looked for has so many in a row."""
    i = at
    while i < end and i - at < COUNTED_DIGITS and IS_DIGIT[text[i]]:
        i += 1
    return i - at


@helper
def separator(text: Text, at: int, end: int) -> tuple[int, int]:
    """The kind of separator at a place and its bytes; (0, 0) where there is none."""
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
    if byte == 0xE2 and at + 2 < end and text[at + 1] == 0x80:
        if text[at + 2] == 0xAF:
            return BLANK, 3
        if text[at + 2] == 0x91:
            return HYPHEN, 3
    return 0, 0


@helper
def before_blank(text: Text, at: int, begin: int) -> int:
    """Where the blank that ends at a place begins; -1 where there is none."""
    if at > begin and text[at - 1] == ord(" "):
        return at - 1
    if at - 1 > begin and text[at - 2] == 0xC2 and text[at - 1] == 0xA0:
        return at - 2
    if at - 2 > begin and text[at - 3] == 0xE2 and text[at - 2] == 0x80 and text[at - 1] == 0xAF:
        return at - 3
    return -1


@helper
def begins(text: Text, at: int, begin: int) -> bool:
    """May a number begin here: not within a word, a longer number, a path or a sum?"""
    if at == begin:
        return True
    byte = text[at - 1]
    return not (IS_WORD[byte] or byte == ord(".") or byte == ord("-") or byte == ord("/") or byte == ord("+"))


@helper
def stops(text: Text, at: int, end: int) -> bool:
    """May a number stop here: no word goes on, also not after a dot, a hyphen or a plus, and no e-mail address?"""
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
    """Is there a blank and a digit on either side?"""
    before = before_blank(text, start, begin)
    if before > begin and IS_DIGIT[text[before - 1]]:
        return True
    kind, width = separator(text, stop, end)
    return kind == BLANK and stop + width < end and IS_DIGIT[text[stop + width]]
