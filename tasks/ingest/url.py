"""`kind: url`: a file or an archive from the web, pinned by SHA-256; a broken download goes on where it ended."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.contract.archives import is_archive, unpack
from tasks.contract.downloads import alone, cache_folder, cached
from tasks.contract.errors import GristmillError, TransientError
from tasks.contract.identity import hash_file
from tasks.contract.progress import progress
from tasks.contract.settings import Sha256
from tasks.ingest.documents import documents_of_files
from tasks.ingest.files import Globs, find_files
from tasks.ingest.formats import SourceFile
from tasks.ingest.source import Bench, Document, Source

if TYPE_CHECKING:
    import httpx

TRIES = 5
"""Broken connections in one run, as long as each brings something; the next run goes on from there."""
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be gone the next time (RFC 9110)."""
TIMEOUT = 30.0
"""Seconds without a byte."""


class UrlSource(Source):
    """One file in a format of `FilesSource`, or an archive with globs of files inside it."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    sha256: Sha256
    filename: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
    """Where the URL does not end in the name of a file."""
    files: Globs | None = None
    """Only for an archive (.zip, .whl, .tar and its packed forms)."""

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        name = self.filename or unquote(PurePosixPath(urlsplit(self.url).path).name)
        if not name or "/" in name or "\\" in name or name in (".", ".."):
            raise bench.wrong("filename", "missing, and the URL does not end in one")
        if is_archive(name) != (self.files is not None):
            raise bench.wrong(
                "files", f"{name} is " + ("an archive: say which" if self.files is None else "no archive")
            )
        with alone(self.sha256):
            path = cached(self.sha256) or _download(self, cache_folder(self.sha256) / name, bench)
        if self.files is None:
            return documents_of_files([SourceFile(name, path)], self.documents, bench)
        folder = bench.scratch / "unpacked"
        unpack(path, folder)
        return documents_of_files(find_files(folder, self.files, bench), self.documents, bench)

    def title(self) -> str:
        """See `Source.title`."""
        return self.filename or self.url.rpartition("/")[2] or self.url


def _download(source: UrlSource, place: Path, bench: Bench) -> Path:
    """Fetch into the cache, through a part file that outlives a failure. Raises TransientError or GristmillError."""
    import httpx

    part = place.with_name(f"{place.name}.part")
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}) as client:
        for _ in range(TRIES):
            had = part.stat().st_size if part.exists() else 0
            try:
                _fetch(client, source.url, part, had, bench)
            except httpx.TransportError as error:
                if (part.stat().st_size if part.exists() else 0) > had:
                    continue
                raise TransientError(f"{bench.recipe}: ingest.url: {source.url}: {_words(error)}") from error
            except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
                raise bench.wrong("url", f"{source.url}: {_words(error)}") from error
            digest = hash_file(part)
            if digest == source.sha256:
                return part.replace(place)
            part.unlink()
            if not had:
                raise bench.wrong("sha256", f"the checksum of {source.url} is {digest}")
            # else the beginning may have been of an older file: once more, from the start
    raise TransientError(f"{bench.recipe}: ingest.url: {source.url}: the connection broke {TRIES} times")


def _fetch(client: "httpx.Client", url: str, part: Path, had: int, bench: Bench) -> None:
    """Append to `part` what is missing; write it anew where the server sends everything."""
    headers = {"Range": f"bytes={had}-"} if had else {}
    with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status == 416 and had:  # nothing is missing, or the file has become shorter: the checksum will tell
            return
        if status in PASSING:
            raise TransientError(f"{bench.recipe}: ingest.url: {url}: the server answers {status}")
        if status not in (200, 206):
            raise GristmillError(f"{bench.recipe}: ingest.url: {url}: the server answers {status}")
        goes_on = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        if status == 206 and not goes_on:
            raise TransientError(f"{bench.recipe}: ingest.url: {url}: the server sent another range than asked for")
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        with part.open("ab" if goes_on else "wb") as out, progress("download", total, "bytes") as shown:
            for chunk in response.iter_raw():
                out.write(chunk)
                shown.advance(len(chunk))


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
