"""One pass over the bytes of a column: every word is hashed as it is read, and looked up where a phrase could begin.

A phrase is followed as long as its parts are there, from each of its places anew: time grows with the bytes, and where
a text is made of beginnings of phrases with the parts of the longest one.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.blocked.characters import BLANK, IN_WORD, SIGN, TABLED, WORD
from tasks.clean.blocked.table import FNV_BASIS, FNV_PRIME, MIX, SPACED, STEP
from tasks.clean.compiled import helper, kernel

Text = NDArray[np.uint8]


@kernel
def count_rows(
    data: Text,
    offsets: NDArray[np.int64],
    valid: NDArray[np.bool_],
    kinds: NDArray[np.uint8],
    folds: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    steps: NDArray[np.int32],
    ends: NDArray[np.bool_],
    blocked: NDArray[np.int64],
    words: NDArray[np.int64],
) -> None:
    """Writes how many blocked words and how many words each text has [texts]; of overlapping ones the first, and of
    those the longest counts.

    data, offsets, valid   UTF-8 bytes of a column, where its texts begin and end [texts + 1], which are not null
    kinds, folds           the tables of `characters`
    keys, steps, ends      those of `table`
    """
    for row in range(len(valid)):
        if valid[row]:
            at, end = offsets[row], offsets[row + 1]
            while at < end:
                stop, part, kind = _part(data, at, end, kinds, folds)
                if kind != BLANK:
                    words[row] += kind != SIGN
                    step = _lead(keys, steps, 0, part, False)
                    if step > 0:
                        more, passed = _follow(data, stop, end, kinds, folds, keys, steps, ends, step)
                        if more > 0:
                            blocked[row] += 1
                            words[row] += passed
                            stop = more
                at = stop


@helper
def _character(text: Text, at: int, end: int) -> tuple[np.int64, int]:
    """The code point at a place of UTF-8, and its bytes (RFC 3629, section 3); nothing is read behind the end."""
    byte = np.int64(text[at])
    if byte < 0x80:
        return byte, 1
    if byte < 0xE0 and at + 1 < end:
        return (byte & 0x1F) << 6 | text[at + 1] & 0x3F, 2
    if 0xE0 <= byte < 0xF0 and at + 2 < end:
        return (byte & 0x0F) << 12 | np.int64(text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F, 3
    if byte < 0xF0 or at + 3 >= end:  # not valid
        return byte, 1
    high = (byte & 0x07) << 18 | np.int64(text[at + 1] & 0x3F) << 12
    return high | np.int64(text[at + 2] & 0x3F) << 6 | text[at + 3] & 0x3F, 4


@helper
def _part(
    text: Text, at: int, end: int, kinds: NDArray[np.uint8], folds: NDArray[np.uint32]
) -> tuple[int, np.uint64, int]:
    """The word, sign or blank at a place: where it stops, its hash and its kind."""
    point, width = _character(text, at, end)
    kind = kinds[point] if point < TABLED else WORD
    value = (np.uint64(FNV_BASIS) ^ np.uint64(folds[point] if point < TABLED else point)) * np.uint64(FNV_PRIME)
    at += width
    if kind != IN_WORD:
        return at, value, kind
    while at < end:
        point, width = _character(text, at, end)
        if point >= TABLED or kinds[point] != IN_WORD:
            break
        value = (value ^ np.uint64(folds[point])) * np.uint64(FNV_PRIME)
        at += width
    return at, value, kind


@helper
def _lead(keys: NDArray[np.uint64], steps: NDArray[np.int32], step: int, part: np.uint64, spaced: bool) -> int:
    """Where a part leads to from a step; 0 where no phrase goes on."""
    key = part ^ np.uint64(step) * np.uint64(STEP) ^ (np.uint64(SPACED) if spaced else np.uint64(0))
    key = (key ^ key >> np.uint64(29)) * np.uint64(MIX)
    key ^= key >> np.uint64(32)
    if key == 0:
        key = np.uint64(1)
    place = np.int64(key & np.uint64(len(keys) - 1))
    while keys[place] != 0:
        if keys[place] == key:
            return steps[place]
        place = (place + 1) & (len(keys) - 1)
    return 0


@helper
def _follow(
    text: Text,
    at: int,
    end: int,
    kinds: NDArray[np.uint8],
    folds: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    steps: NDArray[np.int32],
    ends: NDArray[np.bool_],
    step: int,
) -> tuple[int, int]:
    """Where the longest phrase that goes on from a step stops, and how many words are between; (0, 0) for none."""
    found, passed, words, blanks = 0, 0, 0, 0
    if ends[step]:
        found = at
    while at < end:
        stop, part, kind = _part(text, at, end, kinds, folds)
        if kind == BLANK:
            blanks += 1
        else:
            step = _lead(keys, steps, step, part, blanks > 0)
            if step == 0:
                break
            words, blanks = words + (kind != SIGN), 0
            if ends[step]:
                found, passed = stop, words
        at = stop
    return found, passed
