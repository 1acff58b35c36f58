"""Blocked words as a trie in a hash table, followed part by part.

A phrase is split into parts: words, and every other character by itself. Starting at step 0, a part, and whether blanks
precede it, leads to the next step; some steps end a phrase. Transitions are found by a 64-bit hash of step and part, so
lookup time does not grow with the list.
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
    """Open addressing: a key is in the slot given by its lowest bits, or in the next free one."""

    keys: NDArray[np.uint64]
    """Hashes of step and part; 0 for an empty slot [a power of two]."""
    steps: NDArray[np.int32]
    """The step each key leads to."""
    ends: NDArray[np.bool_]
    """Which steps end a phrase."""


def table_of(phrases: Sequence[str]) -> Table:
    """The table of words and phrases, normalized to NFC; takes about a microsecond each."""
    data, offsets = utf8(pa.array([unicodedata.normalize("NFC", phrase) for phrase in phrases], pa.large_string()))
    most = count_parts(data, offsets, *tables())
    size = 1 << (2 * most).bit_length()
    table = Table(np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(most + 1, np.bool_))
    enter_rows(data, offsets, *tables(), table.keys, table.steps, table.ends)
    return table
