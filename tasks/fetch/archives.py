"""Unpack wheels, zip and tar files. Nothing in them is executed, and nothing is written outside the folder."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.stage.errors import DataError

ZIPS = (".whl", ".zip")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    FileExistsError, NotADirectoryError, IsADirectoryError,
)  # fmt: skip
"""What the libraries raise for an invalid archive, or for one with the same path as file and as folder."""


def is_archive(name: str) -> bool:
    """Whether `unpack` supports a file of this name."""
    return name.lower().endswith(ZIPS + TARS)


def unpack(archive: Path, folder: Path) -> None:
    """Write the regular files of an archive under `folder`; links and devices are skipped.

    Raises DataError for a damaged archive, and for a member with a path outside the folder.
    """
    folder.mkdir(parents=True)
    try:
        with _members(archive) as members:
            for name, stream in members:
                with stream, _place(archive, folder, name).open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
    except DAMAGED as error:
        raise DataError(f"{archive.name}: damaged, or not an archive: {error}") from error


def _place(archive: Path, folder: Path, name: str) -> Path:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name or not inside.parts:
        raise DataError(f"{archive.name}: refused, it contains the unsafe path {name!r}")
    path = folder / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    if archive.name.lower().endswith(ZIPS):
        with zipfile.ZipFile(archive) as zipped:
            yield ((info.filename, zipped.open(info)) for info in zipped.infolist() if not info.is_dir())
    else:
        with tarfile.open(archive) as tarred:
            yield (
                (member.name, stream)
                for member in tarred
                if member.isreg() and (stream := tarred.extractfile(member)) is not None
            )
