"""Blocked words as a hash table, which a search follows from one part of a phrase to the next.

A phrase is cut into parts: words, and every other character by itself. From where a phrase begins (step 0) a part, and
whether blanks are before it, leads to a step of its own; some steps end a phrase. What leads on is found by a 64-bit
hash of step and part, so the time to look a word up does not grow with the list.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.clean.rules.blocked.characters import tables
from tasks.clean.rules.blocked.search import count_parts, enter_rows
from tasks.formats.utf8 import utf8


@dataclass(frozen=True)
class Table:
    """Open addressing: a key is at the place that its lowest bits say, or at the next free one behind it."""

    keys: NDArray[np.uint64]
    """Hashes of step and part; 0 where there is none [a power of two]."""
    steps: NDArray[np.int32]
    """Where they lead to."""
    ends: NDArray[np.bool_]
    """Which steps end a phrase."""


def table_of(phrases: Sequence[str]) -> Table:
    """The table of some words and phrases, a microsecond for each. They are taken in NFC."""
    data, offsets = utf8(pa.array([unicodedata.normalize("NFC", phrase) for phrase in phrases], pa.large_string()))
    most = count_parts(data, offsets, *tables())
    size = 1 << (2 * most).bit_length()
    table = Table(np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(most + 1, np.bool_))
    enter_rows(data, offsets, *tables(), table.keys, table.steps, table.ends)
    return table
