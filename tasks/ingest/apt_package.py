"""A Debian package, pinned by version and SHA-256, downloaded by the machine's own apt-get, never installed.

apt-get checks the mirror's signature as for the lists (`apt_lists`), so mirrors, proxies and credentials of the system
apply. The package stays in the user's cache of downloads, so a second run needs no network.
"""

import re
from pathlib import Path

from tasks.fetch.downloads import keep
from tasks.ingest.apt_lists import PASSING, Archive, current_lists, download_package, words
from tasks.ingest.source import Bench
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.identity import hash_file

NO_PACKAGE = re.compile(r"unable to locate package|no packages found|has no installation candidate", re.IGNORECASE)
NO_VERSION = re.compile(r"version .* was not found", re.IGNORECASE)


def download(archive: Archive, package: str, version: str, sha256: str, bench: Bench) -> Path:
    """The .deb, from the mirror into the user's cache.

    Raises TransientError if the mirror is unreachable; RecipeError for a package or version that it does not have, and
    for another checksum; GristmillError without apt.
    """
    folder = bench.scratch / "download"
    folder.mkdir(parents=True)
    pinned = f"{package}={version}"
    with current_lists(archive, "en", bench):
        done = download_package(archive, pinned, folder)
    said, found = done.stdout + done.stderr, sorted(folder.glob("*.deb"))
    if done.returncode == 0 and len(found) == 1:
        if (digest := hash_file(found[0])) != sha256:
            raise bench.wrong("sha256", f"the checksum of {pinned} is {digest}")
        return keep(found[0], sha256)
    if NO_VERSION.search(said):
        raise bench.wrong("version", f"{archive.release} has no {pinned}: {words(said)}")
    if NO_PACKAGE.search(said):
        raise bench.wrong("package", f"{archive.release} has no {package}: {words(said)}")
    kind = TransientError if PASSING.search(said) else GristmillError
    raise kind(f"{bench.recipe}: {bench.section}.package: {pinned}: {words(said)}")
