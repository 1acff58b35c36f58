"""The UTF-8 bytes of a column of texts, as compiled functions read them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def utf8(column: "pa.Array | pa.ChunkedArray") -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    """The bytes of a string column, and the offsets of its texts [texts + 1].

    A null counts as an empty text. Large strings are not copied. The arrays are always read-only, because compiled
    functions see writable arrays as another type.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    column = column.cast(pa.large_string())
    data, offsets = _buffers(column)
    if column.null_count and np.diff(offsets)[column.is_null().to_numpy(zero_copy_only=False)].any():
        data, offsets = _buffers(pc.fill_null(column, ""))  # Arrow allows bytes under a null
    data.flags.writeable = offsets.flags.writeable = False
    return data, offsets


def _buffers(column: "pa.LargeStringArray") -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    import numpy as np

    _, offsets, data = column.buffers()
    content = np.frombuffer(data if data is not None else b"", np.uint8)
    if offsets is None or not len(column):  # an empty array may have no buffers
        return content, np.zeros(1, np.int64)
    return content, np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8)
