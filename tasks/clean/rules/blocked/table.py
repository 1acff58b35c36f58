"""Blocked words as a trie in a hash table, followed part by part.

A phrase is split into parts: words, and every other character by itself. Starting at step 0, a part, and whether blanks
precede it, leads to the next step; some steps end a phrase. Transitions are found by a 64-bit hash of step and part, so
lookup time does not grow with the list.
"""

import unicodedata
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tasks.clean.rules.blocked.characters import tables
from tasks.clean.rules.blocked.search import Table, count_parts, enter_rows
from tasks.formats.utf8 import utf8


@lru_cache(maxsize=8)
def table_of(phrases: tuple[str, ...]) -> Table:
    """The table of words and phrases, normalized to NFC; takes about a microsecond each."""
    data, offsets = utf8(pa.array([unicodedata.normalize("NFC", phrase) for phrase in phrases], pa.large_string()))
    most = count_parts(data, offsets, tables())
    size = 1 << (2 * most).bit_length()
    table = Table(np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(most + 1, np.bool_))
    enter_rows(data, offsets, tables(), table)
    return table
