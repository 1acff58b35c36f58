"""Unpack wheels, zip and tar files, and Debian packages.

Nothing in them is executed, and nothing is written outside the folder.
"""

import io
import posixpath
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from tasks.fetch.compressed import DAMAGED, PACKED, PIECE, Bound, opened
from tasks.stage.errors import DataError

ZIPS = (".whl", ".zip")
TARS = (".tar", ".tgz", *(f".tar{suffix}" for suffix in PACKED))
DEB = ".deb"
AR, AR_HEADER, AR_END = b"!<arch>\n", 60, b"`\n"
"""An `ar` archive, which a Debian package is (deb(5)): its magic, and the length and end of a member's header."""
DEB_DATA = "data.tar"
"""Member of a Debian package with its files, packed as its suffix says."""
BLOCK = 4096
"""Bytes of the disk that a file takes at least."""
LONGEST_LINK = 4096
"""Maximum bytes of the path that a link names."""

ENCRYPTED = 1
"""The bit in the flags of a zip's member."""
INVALID = (
    *DAMAGED, ValueError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What the libraries and the file system raise for a damaged archive, or for paths that cannot be written."""

Member = tuple[str, IO[bytes] | str]
"""The path of a file and its bytes, or of a link and the path in the archive that it names."""


def is_archive(name: str) -> bool:
    """Whether `unpack` supports a file of this name."""
    return name.lower().endswith((*ZIPS, *TARS, DEB))


def unpack(archive: Path, folder: Path) -> int:
    """Write the regular files of an archive under `folder`, and links to them as copies; returns how many links were
    left out, because they lead to a folder or out of the archive. Devices are skipped.

    Raises DataError for a damaged archive, for a member with a path outside the folder, and for a bomb.
    """
    folder.mkdir(parents=True)
    bound, links = Bound(archive.name, archive.stat().st_size), []
    try:
        with _members(archive) as members:
            for name, content in members:
                bound.spend(BLOCK)
                path = _place(archive, folder, name)
                if path.exists() or path.is_symlink():
                    raise DataError(f"{archive.name}: two files are named {name!r}; unpack it yourself")
                if isinstance(content, str):
                    links.append((path, content))
                    continue
                with content, path.open("wb") as out:
                    while piece := content.read(PIECE):
                        bound.spend(len(piece))
                        out.write(piece)
        return sum(not _copied(folder, path, target, bound) for path, target in links)
    except INVALID as error:
        raise DataError(f"{archive.name}: damaged, or not an archive: {error}") from error


def _copied(folder: Path, path: Path, target: str, bound: Bound) -> bool:
    """Write a copy of the file that a link names, if it is one of the archive."""
    inside = posixpath.normpath(target)
    if inside.startswith(("/", "../")) or not (there := folder / inside).is_file():
        return False
    bound.spend(there.stat().st_size)
    shutil.copyfile(there, path)
    return True


def _place(archive: Path, folder: Path, name: str) -> Path:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name or not inside.parts:
        raise DataError(f"{archive.name}: refused, it contains the unsafe path {name!r}")
    path = folder / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    name = archive.name.lower()
    if name.endswith(ZIPS):
        with zipfile.ZipFile(archive) as zipped:
            yield (_of_zip(zipped, info) for info in zipped.infolist() if not info.is_dir())
    elif name.endswith(DEB):
        packed, where = _deb_data(archive)
        with TemporaryDirectory() as scratch:
            data = Path(scratch, packed)
            with archive.open("rb") as whole, data.open("wb") as part:
                whole.seek(where.start)
                for start in range(where.start, where.stop, PIECE):
                    part.write(whole.read(min(PIECE, where.stop - start)))
            with _members(data) as members:
                yield members
    else:
        with (
            opened(archive, name.replace(".tgz", ".tar.gz")) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tarred,
        ):
            yield (_of_tar(tarred, member) for member in tarred if member.isreg() or member.issym() or member.islnk())


def _deb_data(archive: Path) -> tuple[str, range]:
    """The name of the member with the files of a Debian package, and its bytes in the file."""
    with archive.open("rb") as file:
        if file.read(len(AR)) != AR:
            raise DataError(f"{archive.name}: not a Debian package")
        while header := file.read(AR_HEADER):
            if len(header) < AR_HEADER or not header.endswith(AR_END):
                break
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
            start = file.tell()
            if name.startswith(DEB_DATA):
                return name, range(start, start + size)
            file.seek(start + size + size % 2)
    raise DataError(f"{archive.name}: damaged, or without {DEB_DATA}")


def _of_zip(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    if info.flag_bits & ENCRYPTED:
        raise DataError(f"{Path(zipped.filename or '').name}: {info.filename} needs a password; unpack it yourself")
    stream = zipped.open(info)
    if not stat.S_ISLNK(info.external_attr >> 16):
        return info.filename, stream
    with stream:
        return info.filename, _beside(info.filename, stream.read(LONGEST_LINK).decode())


def _of_tar(tarred: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    if member.issym():
        return member.name, _beside(member.name, member.linkname)
    return member.name, member.linkname if member.islnk() else tarred.extractfile(member) or io.BytesIO()


def _beside(name: str, target: str) -> str:
    """The path in the archive that a symbolic link names."""
    return posixpath.join(posixpath.dirname(name), target)
