"""One pass over the bytes of a column: each word is hashed as it is read and looked up as the start of a phrase.

A phrase is followed while its parts match, restarting at every word: time is linear in the bytes, times the length of
the longest phrase if a text consists of beginnings of phrases.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper, int64, kernel
from tasks.clean.rules.blocked.characters import (
    ASCII_FOLDS,
    ASCII_KINDS,
    BLANK,
    IN_WORD,
    SIGN,
    TABLED,
    WORD,
    Characters,
)
from tasks.clean.rules.text_bytes import character_at

Text = NDArray[np.uint8]

FNV_BASIS, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""64-bit FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), applied to characters."""
MIX, SPACED, STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd multipliers that mix bits."""


class Table(NamedTuple):
    """Open addressing: a key is in the slot given by its lowest bits, or in the next free one."""

    keys: NDArray[np.uint64]
    """Hashes of step and part; 0 for an empty slot [a power of two]."""
    steps: NDArray[np.int32]
    """The step each key leads to."""
    ends: NDArray[np.bool_]
    """Which steps end a phrase."""


@kernel
def count_rows(
    data: Text,
    offsets: NDArray[np.int64],
    characters: Characters,
    table: Table,
    blocked: NDArray[np.int64],
    words: NDArray[np.int64],
) -> None:
    """Writes the number of blocked words and of all words per text [texts].

    `data` and `offsets` [texts + 1] are a column's UTF-8 bytes and the offsets of its texts. Of overlapping matches the
    first counts; of those with the same start, the longest.
    """
    for row in range(len(blocked)):
        at, end = offsets[row], offsets[row + 1]
        found = passed = 0
        while at < end:
            begin, byte, part, kind = at, data[at], FNV_BASIS, IN_WORD
            if byte < 0x80:  # like _part, but inlined
                part, kind = (FNV_BASIS ^ ASCII_FOLDS[byte]) * FNV_PRIME, ASCII_KINDS[byte]
                at += 1
                while kind == IN_WORD and at < end and data[at] < 0x80 and ASCII_KINDS[data[at]] == IN_WORD:
                    part = (part ^ ASCII_FOLDS[data[at]]) * FNV_PRIME
                    at += 1
            if byte >= 0x80 or (kind == IN_WORD and at < end and data[at] >= 0x80):
                at, part, kind = _part(data, begin, end, characters)
            if kind != BLANK:
                passed += kind != SIGN
                step = _lead(table, 0, part, False)
                if step > 0:
                    stop, more = _follow(data, at, end, characters, table, step)
                    if stop > 0:
                        at, found, passed = stop, found + 1, passed + more
        blocked[row], words[row] = found, passed


@helper
def _part(text: Text, at: int, end: int, characters: Characters) -> tuple[int, np.uint64, int]:
    """The word, sign or blank at a position: its end, hash and kind."""
    kinds, folds = characters
    point, width = character_at(text, at, end)
    kind = kinds[point] if point < TABLED else WORD
    value = (FNV_BASIS ^ np.uint64(folds[point] if point < TABLED else point)) * FNV_PRIME
    at += width
    while kind == IN_WORD and at < end:
        byte = text[at]
        if byte < 0x80:
            if ASCII_KINDS[byte] != IN_WORD:
                break
            value = (value ^ ASCII_FOLDS[byte]) * FNV_PRIME
            at += 1
        else:
            point, width = character_at(text, at, end)
            if point >= TABLED or kinds[point] != IN_WORD:
                break
            value = (value ^ np.uint64(folds[point])) * FNV_PRIME
            at += width
    return at, value, kind


@helper
def _key(step: int, part: np.uint64, spaced: bool) -> np.uint64:
    """Table key for a step and the next part: never 0."""
    key = part ^ np.uint64(step) * STEP
    if spaced:
        key ^= SPACED
    key = (key ^ key >> np.uint64(29)) * MIX
    key ^= key >> np.uint64(32)
    return key if key != 0 else FNV_BASIS


@helper
def _place(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """The slot of a key, or a free one for it."""
    place = int64(key & np.uint64(len(keys) - 1))
    while keys[place] != 0 and keys[place] != key:
        place = (place + 1) & (len(keys) - 1)
    return place


@helper
def _lead(table: Table, step: int, part: np.uint64, spaced: bool) -> int:
    """The next step after a part; 0 if no phrase continues."""
    return table.steps[_place(table.keys, _key(step, part, spaced))]


@helper
def _follow(text: Text, at: int, end: int, characters: Characters, table: Table, step: int) -> tuple[int, int]:
    """End of the longest phrase that continues from a step, and its further words; (0, 0) without a match."""
    found, passed, words, blanks = 0, 0, 0, 0
    if table.ends[step]:
        found = at
    while at < end:
        stop, part, kind = _part(text, at, end, characters)
        if kind == BLANK:
            blanks += 1
        else:
            step = _lead(table, step, part, blanks > 0)
            if step == 0:
                break
            words, blanks = words + (kind != SIGN), 0
            if table.ends[step]:
                found, passed = stop, words
        at = stop
    return found, passed


@kernel
def count_parts(data: Text, offsets: NDArray[np.int64], characters: Characters) -> int:
    """Total number of parts of some phrases."""
    count = 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            at, _, kind = _part(data, at, offsets[row + 1], characters)
            count += kind != BLANK
    return count


@kernel
def enter_rows(data: Text, offsets: NDArray[np.int64], characters: Characters, table: Table) -> None:
    """Fills the empty arrays of a table with phrases; leading and trailing blanks are ignored."""
    keys, steps, ends = table
    last = 0
    for row in range(len(offsets) - 1):
        at, step, spaced = offsets[row], 0, False
        while at < offsets[row + 1]:
            at, part, kind = _part(data, at, offsets[row + 1], characters)
            if kind == BLANK:
                spaced = step > 0
                continue
            key = _key(step, part, spaced)
            place = _place(keys, key)
            if keys[place] == 0:
                last += 1
                keys[place], steps[place] = key, last
            step, spaced = steps[place], False
        ends[step] = True
