"""A set of 64-bit hashes in an open-addressing table: 11 to 21 bytes per hash, 40 while it grows."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import array_kernel, read_only

LEAST = 1 << 10


class HashSet:
    """A set of nonzero, well-mixed hashes, with initial `room` for this many."""

    def __init__(self, room: int = 0) -> None:
        self._table = np.zeros(max(LEAST, 1 << (4 * room // 3).bit_length()), np.uint64)
        self._size = 0

    @classmethod
    def of_table(cls, table: NDArray[np.uint64], size: int) -> Self:
        """The set with this `table` and length. Does not copy, so the table can be a memory-mapped file."""
        made = cls()
        made._table, made._size = table, size
        return made

    def __len__(self) -> int:
        return self._size

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add hashes; returns which are new, i.e. neither in the set nor earlier in the list [hashes]."""
        new = np.empty(len(hashes), np.bool_)
        done = 0
        while done < len(hashes):
            stop, self._size = _add(self._table, self._size, hashes, done, new)
            if stop < len(hashes):
                grown = np.zeros(2 * len(self._table), np.uint64)
                members = self.hashes()
                _add(grown, 0, members, 0, np.empty(len(members), np.bool_))
                self._table = grown
            done = stop
        return new

    def contains(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which hashes are in the set [hashes]."""
        return _contains(self.table(), hashes)

    def table(self) -> NDArray[np.uint64]:
        """The table, read-only; 0 marks an empty slot."""
        return read_only(self._table.view())

    def hashes(self) -> NDArray[np.uint64]:
        """All members, sorted."""
        return np.sort(self._table[self._table != 0])


@array_kernel
def _add(
    table: NDArray[np.uint64], size: int, hashes: NDArray[np.uint64], begin: int, new: NDArray[np.bool_]
) -> tuple[int, int]:
    """Adds hashes from `begin` on until the table is three quarters full; returns where it stopped, and the size."""
    last = np.uint64(len(table) - 1)
    for place in range(begin, len(hashes)):
        if 4 * size >= 3 * len(table):
            return place, size
        slot = hashes[place] & last
        while table[slot] != np.uint64(0) and table[slot] != hashes[place]:
            slot = (slot + np.uint64(1)) & last
        new[place] = table[slot] == np.uint64(0)
        if new[place]:
            table[slot] = hashes[place]
            size += 1
    return len(hashes), size


@array_kernel
def _contains(table: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    found = np.empty(len(hashes), np.bool_)
    last = np.uint64(len(table) - 1)
    for place in range(len(hashes)):
        slot = hashes[place] & last
        while table[slot] != np.uint64(0) and table[slot] != hashes[place]:
            slot = (slot + np.uint64(1)) & last
        found[place] = table[slot] == hashes[place]
    return found
