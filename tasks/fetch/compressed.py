"""Compressed files as streams, and the one bound on what may come out of a file: a bomb of kilobytes unpacks to a disk.

By suffix: gzip, zstd (windows of any length), bzip2, xz.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tasks.stage.errors import DataError

PACKED = (".gz", ".zst", ".bz2", ".xz")
DAMAGED = (OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError)
"""What reading a damaged or truncated file raises."""
FREE = 1 << 30
"""Bytes that any file may unpack to."""
RATIO = 200
"""Bytes beyond that per byte of the file. Text gives 3 to 30; gzip can reach 1,032, the others far more."""
PIECE = 1 << 20
ZSTD_PIECE = 1 << 9
"""Compressed bytes at a time: a zstd block of 4 bytes can hold 128 KiB."""
ZSTD_WINDOW = 1 << 31
"""The longest window of `zstd --long`; the library's own limit is 128 MiB."""


class Bound:
    """Counts what comes out of a file."""

    def __init__(self, name: str, packed: int, way_out: str = "unpack it yourself") -> None:
        self.name, self.packed, self.way_out = name, packed, way_out
        self.left = self.most = FREE + RATIO * packed

    def spend(self, size: int) -> None:
        """Count bytes. Raises DataError for too many."""
        self.left -= size
        if self.left < 0:
            raise DataError(
                f"{self.name}: refused, its {self.packed:,} bytes unpack to more than {self.most:,}; if you trust it, "
                f"{self.way_out}"
            )


@contextmanager
def opened(path: Path, name: str) -> "Iterator[io.BufferedReader[Any]]":
    """The bytes of a file, decompressed if its `name` says so. Reading raises DataError for a bomb, or DAMAGED."""
    with path.open("rb", buffering=1 << 16) as raw:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in PACKED:
            yield cast(Any, raw)
            return
        if not (size := path.stat().st_size):
            raise EOFError("the file is empty")
        pieces = bounded(_unpacked(raw, suffix), Bound(name, size))
        yield io.BufferedReader(Pieces(pieces), PIECE)


class Pieces(io.RawIOBase):
    """A stream of the bytes in an iterator of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.ready = pieces, memoryview(b"")

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        while not self.ready:
            if (piece := next(self.pieces, None)) is None:
                return 0
            self.ready = memoryview(piece)
        view = memoryview(buffer)
        size = min(len(view), len(self.ready))
        view[:size], self.ready = self.ready[:size], self.ready[size:]
        return size


def bounded(pieces: Iterator[bytes], bound: Bound) -> Iterator[bytes]:
    """The pieces, counted."""
    for piece in pieces:
        bound.spend(len(piece))
        yield piece


def _unpacked(raw: BinaryIO, suffix: str) -> Iterator[bytes]:
    match suffix:
        case ".zst":
            return _unzstd(raw)
        case ".gz":
            stream = gzip.GzipFile(fileobj=raw)
            return iter(lambda: stream.read(PIECE), b"")
        case _:
            return _streams(raw, bz2.BZ2Decompressor if suffix == ".bz2" else lzma.LZMADecompressor)


def _streams(raw: BinaryIO, begin: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress stream after stream; Python's own readers stop in silence at one that begins with damage."""
    stream: Any = None
    while data := raw.read(PIECE):
        while data:
            if stream is None:
                if not (data := data.lstrip(b"\0")):  # padding
                    break
                stream = begin()
            yield stream.decompress(data, PIECE)
            while not stream.eof and not stream.needs_input:
                yield stream.decompress(b"", PIECE)
            data = stream.unused_data
            stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError("truncated")


def _unzstd(raw: BinaryIO) -> Iterator[bytes]:
    """Decompress frame after frame; zstandard's own reader accepts a truncated frame as complete."""
    import zstandard

    frame = None
    while data := raw.read(ZSTD_PIECE):
        while data:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
            try:
                yield frame.decompress(data)
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            data = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("truncated zstd frame")
