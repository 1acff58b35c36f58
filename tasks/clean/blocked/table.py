"""Blocked words as a hash table, which a search follows from one part of a phrase to the next.

A phrase is cut into parts: words, and every other character by itself. From where a phrase begins (step 0) a part, and
whether blanks are before it, leads to a step of its own; some steps end a phrase. What leads on is found by a 64-bit
hash of step and part, so the time to look a word up does not grow with the list.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.clean.blocked.characters import BLANK, IN_WORD, folded, kind_of

FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
"""64-bit FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), here over characters."""
MIX, SPACED, STEP = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F
"""Odd numbers that spread bits (Steele et al. 2014, SplitMix)."""
WIDTH = 2**64


@dataclass(frozen=True)
class Table:
    """Open addressing: a key is at the place that its lowest bits say, or at the next free one behind it."""

    keys: NDArray[np.uint64]
    """Hashes of step and part; 0 where there is none [a power of two]."""
    steps: NDArray[np.int32]
    """Where they lead to."""
    ends: NDArray[np.bool_]
    """Which steps end a phrase."""


def parts(phrase: str) -> list[tuple[str, bool]]:
    """The words and single characters of a phrase, folded, and whether blanks are before each; of the first, never."""
    found: list[tuple[str, bool]] = []
    before = BLANK
    for character in phrase:
        kind = kind_of(character)
        if kind == IN_WORD and before == IN_WORD:
            found[-1] = (found[-1][0] + folded(character), found[-1][1])
        elif kind != BLANK:
            found.append((folded(character), before == BLANK and bool(found)))
        before = kind
    return found


def hash_of(part: str) -> int:
    """Of a part, as the search has it."""
    value = FNV_BASIS
    for character in part:
        value = (value ^ ord(character)) * FNV_PRIME % WIDTH
    return value


def key_of(step: int, part: int, spaced: bool) -> int:
    """Of what leads on from a step: never 0."""
    value = part ^ step * STEP % WIDTH ^ (SPACED if spaced else 0)
    value = (value ^ value >> 29) * MIX % WIDTH
    return value ^ value >> 32 or 1


def table_of(phrases: Sequence[str]) -> Table:
    """The table of some words and phrases; a few microseconds for each. They are taken in NFC."""
    lead: dict[int, int] = {}
    ends = [False]
    for phrase in phrases:
        step = 0
        for part, spaced in parts(unicodedata.normalize("NFC", phrase)):
            step = lead.setdefault(key_of(step, hash_of(part), spaced), len(ends))
            if step == len(ends):
                ends.append(False)
        ends[step] = True
    size = 1 << (2 * len(lead) - 1).bit_length()
    keys, steps = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    for key, step in lead.items():
        place = key % size
        while keys[place]:
            place = (place + 1) % size
        keys[place], steps[place] = key, step
    return Table(keys, steps, np.array(ends, np.bool_))
