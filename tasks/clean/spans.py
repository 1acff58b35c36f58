"""Replaces spans in a column of texts with placeholders until nothing more is found.

A finder `find(data, offsets, valid)` takes the UTF-8 bytes of all texts, their offsets, and a mask of non-null texts.
It returns an int64 array [found, 4] of row, start, end and kind, sorted, without overlaps; starts and ends are byte
positions.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.formats.utf8 import utf8

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Finder = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]], NDArray[np.int64]]

ROW, START, END, KIND = range(4)


def replace_all(
    column: "pa.Array", find: "Finder", placeholders: Sequence[str | None]
) -> "tuple[pa.LargeStringArray, NDArray[np.int32]]":
    """Replace everything found. Returns the texts and the number of finds per text and kind [texts, kinds].

    Kinds without a placeholder (None) are counted but not replaced. A replacement changes the context of nearby text,
    so changed texts are searched again until nothing is found: a second call changes nothing. It terminates because
    each round removes text that is not a placeholder.

    Costs one search; if nothing is replaced, the same column is returned. Otherwise the changed texts are searched once
    or twice more, and the column is copied once.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())
    going = np.array([placeholder is not None for placeholder in placeholders])
    found = _search(column, find)
    counts = np.zeros((len(column), len(placeholders)), np.int32)
    np.add.at(counts, (found[:, ROW], found[:, KIND]), 1)
    found = found[going[found[:, KIND]]]
    if not len(found):
        return column, counts
    rows, places = np.unique(found[:, ROW], return_inverse=True)
    part = column.take(pa.array(rows))
    moved = utf8(part)[1][places] - utf8(column)[1][found[:, ROW]]
    found = np.column_stack((places, found[:, START] + moved, found[:, END] + moved, found[:, KIND]))
    while len(found):
        part = _replaced(part, found, placeholders)
        found = _search(part, find)
        counts[np.ix_(rows, ~going)] = 0
        np.add.at(counts, (rows[found[:, ROW]], found[:, KIND]), 1)
        found = found[going[found[:, KIND]]]
    concerned = np.zeros(len(column), np.bool_)
    concerned[rows] = True
    return pc.replace_with_mask(column, pa.array(concerned), part), counts


def _search(column: "pa.LargeStringArray", find: "Finder") -> "NDArray[np.int64]":
    return find(*utf8(column), column.is_valid().to_numpy(zero_copy_only=False))


def _replaced(
    column: "pa.LargeStringArray", found: "NDArray[np.int64]", placeholders: Sequence[str | None]
) -> "pa.LargeStringArray":
    """Replace each span with the placeholder of its kind, in a column without nulls."""
    import numpy as np
    import pyarrow as pa

    data, offsets = utf8(column)
    written = [(placeholder or "").encode() for placeholder in placeholders]
    pieces, at = [], int(offsets[0])
    for _, start, end, kind in found.tolist():
        pieces += [data[at:start], written[kind]]
        at = end
    pieces.append(data[at : offsets[-1]])
    grown = np.array([len(text) for text in written])[found[:, KIND]] - (found[:, END] - found[:, START])
    lengths = np.diff(offsets)
    np.add.at(lengths, found[:, ROW], grown)
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    return pa.LargeStringArray.from_buffers(len(column), pa.py_buffer(ends), pa.py_buffer(b"".join(pieces)))
