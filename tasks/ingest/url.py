"""`kind: url`: a file or archive from the web or a bucket, pinned by SHA-256. Broken downloads resume."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.fetch.archives import is_archive, unpack
from tasks.fetch.downloads import alone, cache_folder, cached
from tasks.ingest.documents import documents_of_files, unfit
from tasks.ingest.files import Globs, find_files
from tasks.ingest.formats import SourceFile
from tasks.ingest.look import unfit_globs
from tasks.ingest.source import Bench, Document, Source
from tasks.stage.errors import DataError, TransientError
from tasks.stage.identity import hash_file
from tasks.stage.settings import Sha256

TRIES = 5
"""Maximum broken connections per run, each with some progress; the next run resumes."""

LONGEST_NAME = 240
"""Bytes of a file's name; file systems take 255, and the download adds `.part`."""


class UrlSource(Source):
    """One file in a format of `kind: files`, or an archive with globs of files inside it."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^(https?|s3)://[^\s]+$")]
    """`https://…`, or `s3://bucket/key` with credentials and endpoint from AWS's own settings."""
    sha256: Sha256
    """SHA-256 of the downloaded file."""
    filename: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
    """File name, if the URL does not end in one."""
    files: Globs | None = None
    """Globs of files inside an archive (.zip, .whl, .tar and its compressed forms, .deb); only for archives."""

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        name = self._name()
        with alone(cache := cache_folder(self.sha256)):
            path = cached(self.sha256) or _download(self, cache / name, bench)
        if self.files is None:
            return documents_of_files([SourceFile(name, path)], self.documents, bench)
        folder = bench.scratch / "unpacked"
        if left_out := unpack(path, folder):
            bench.count("links_left_out", left_out)
        return documents_of_files(find_files(folder, self.files, bench), self.documents, bench)

    def _name(self) -> str:
        return self.filename or unquote(PurePosixPath(urlsplit(self.url).path).name)

    def misplaced(self) -> Iterator[str]:
        """See `Source.misplaced`."""
        name = self._name()
        odd = name in ("", ".", "..") or not name.isprintable() or len(name.encode(errors="replace")) > LONGEST_NAME
        if odd or "/" in name or "\\" in name:
            yield "filename: required, because the URL does not end in a file name"
        elif self.files is None and is_archive(name):
            yield f"files: {name} is an archive; name its files"
        elif self.files is not None and not is_archive(name):
            yield f"files: {name} is not an archive"
        elif self.files is not None:
            yield from unfit_globs(self.files, self.documents)
        else:
            try:
                yield from (f"{key}: {told}" for key, told in unfit([SourceFile(name, Path(name))], self.documents))
            except DataError as error:
                yield f"{'url' if self.filename is None else 'filename'}: {error}"

    def title(self) -> str:
        """See `Source.title`."""
        return self.filename or self.url.rpartition("/")[2] or self.url


def _download(source: UrlSource, place: Path, bench: Bench) -> Path:
    """Download into the cache, through a part file that survives a failure. Raises TransientError or GristmillError."""
    if source.url.startswith("s3://"):
        from tasks.ingest.s3 import fetch
    else:
        from tasks.ingest.http import fetch
    part = place.with_name(f"{place.name}.part")
    for _ in range(TRIES):
        had = part.stat().st_size if part.exists() else 0
        try:
            fetch(source.url, part, had, bench)
        except TransientError:
            if (part.stat().st_size if part.exists() else 0) > had:
                continue
            raise
        digest = hash_file(part)
        if digest == source.sha256:
            return part.replace(place)
        part.unlink()
        if not had:
            raise bench.wrong("sha256", f"the checksum of {source.url} is {digest}")
        # else the part file may be of an older version: start over
    raise TransientError(f"{bench.recipe}: {bench.section}.url: {source.url}: the connection broke {TRIES} times")
