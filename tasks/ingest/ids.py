"""Uniqueness of ids from a column, with 8 bytes of memory per id: equal hashes are looked up in the corpus."""

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ids:
    """Hashes of a corpus's ids; the only memory of the stage that grows with the corpus."""

    def __init__(self) -> None:
        self._hashes = array("q")  # grows in place, by a sixteenth; the final check adds a sorted copy

    def add(self, names: Iterable[str]) -> None:
        """Add the ids of the next documents."""
        self._hashes.extend(map(hash, names))

    def require_unique(self, folder: Path) -> None:
        """Raises DataError with both places of the first duplicate id; `folder` is the complete corpus."""
        import numpy as np

        hashes = np.frombuffer(self._hashes, np.int64)
        for row in _again(hashes):
            places: dict[str, str] = {}  # several ids in case of a hash collision
            for name, place in _ids_and_places(folder, np.flatnonzero(hashes == hashes[row])):
                if name in places:
                    raise DataError(f"{place}: duplicate id {name!r}, already in {places[name]}; ids must be unique")
                places[name] = place


def _again(hashes: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The rows, in order, with the hash of an earlier row."""
    import numpy as np

    ordered = np.sort(hashes)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.empty(0, np.int64)
    order = np.argsort(hashes, kind="stable")
    np.take(hashes, order, out=ordered)
    return np.sort(order[1:][ordered[1:] == ordered[:-1]])


def _ids_and_places(folder: Path, rows: "NDArray[np.int64]") -> Iterator[tuple[str, str]]:
    start = 0
    for batch in read_batches(folder, ["id", "source"]):
        stop = start + batch.num_rows
        inside = rows[rows.searchsorted(start) : rows.searchsorted(stop)] - start
        for found in batch.take(inside).to_pylist() if len(inside) else ():
            yield found["id"], found["source"]
        start = stop
