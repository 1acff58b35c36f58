"""Package lists of a Debian mirror, kept up to date by the machine's own apt-get, without root.

The lists are in the user's cache ($XDG_CACHE_HOME/gristmill/apt/<hash of mirror, release, components, architecture>).
`apt-get update` checks their signatures and downloads only changes. Once requested, a language stays in the cache, so
recipes with different languages share one download.
"""

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tasks.fetch.compressed import PIECE, Bound, Pieces, bounded
from tasks.fetch.downloads import alone, cache_folder
from tasks.ingest.source import Bench
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.identity import fingerprint, hash_file

HELPER = Path("/usr/lib/apt/apt-helper")
"""apt-get's companion, not on PATH; reads a list in any compression."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LANGUAGES = "languages"
"""File next to the lists: their languages, one per line."""
HOOKS = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
"""Hooks of `APT::Update` that a system runs when its own lists change; not to be run for ours."""
PASSING = re.compile(
    r"could not (resolve|connect|handshake)|temporary failure|connection (failed|timed out|refused|reset)|timed out"
    r"|cannot initiate the connection|unable to connect|network is unreachable|undetermined error|sync in progress"
    r"|hash sum mismatch|unexpected size|error reading from|unexpected eof|closed the connection|bad header"
    r"|require authentication|^\s*(408|429|5\d\d)\s",
    re.IGNORECASE | re.MULTILINE,
)
"""Messages of apt (1.8 to 3.0) when the network fails or the mirror is being updated."""
NO_RELEASE = re.compile(
    r"(does not|does no longer|no longer) ha(ve|s) a Release file|^Ign:\d+ .* Release$", re.MULTILINE
)
"""The second alternative is for trusted mirrors: apt-get continues without the file, then misses what it would list."""
UNSIGNED = re.compile(r"NO_PUBKEY|KEYEXPIRED|EXPKEYSIG|BADSIG|is not signed|signatures? (couldn't|were invalid)")
FAILED = re.compile(r"failed to fetch|index files failed to download|GPG error", re.IGNORECASE)
"""Some versions of apt-get print this and still exit with 0."""


@dataclass(frozen=True)
class Archive:
    """Identifies a set of lists."""

    mirror: str
    release: str
    components: tuple[str, ...]
    architecture: str
    trusted: bool


@dataclass(frozen=True)
class List:
    """One downloaded list."""

    component: str
    language: str | None
    """None for a list of packages."""
    path: Path


@contextmanager
def current_lists(archive: Archive, language: str, bench: Bench) -> Iterator[list[List]]:
    """Up-to-date lists with descriptions in English and `language`, locked during the block.

    Raises TransientError if the mirror is unreachable, even if older lists exist; RecipeError for a release,
    component, architecture or language that it does not have; GristmillError without apt.
    """
    apt_get = shutil.which("apt-get")
    if apt_get is None or not HELPER.exists():
        raise GristmillError(
            f"{bench.recipe}: {bench.section}.kind: apt requires Debian's apt (apt-get and {HELPER}), not found on "
            "this machine"
        )
    folder = _folder(archive)
    with alone(folder):
        known = folder / LANGUAGES
        had = known.read_text(encoding="utf-8").split() if known.exists() else []
        languages = sorted({*had, "en", language})
        command = [apt_get, *_options(folder, archive, languages)]
        said = _update(command, archive, bench)
        lists = _downloaded(command, archive)
        _require(lists, archive, language, said, bench)
        known.write_text("".join(f"{name}\n" for name in languages), encoding="utf-8")
        _note_release(folder, bench)
        yield [one for one in lists if one.language in (None, "en", language)]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The decompressed bytes of a list. Raises GristmillError if it cannot be read, DataError for a bomb."""
    pipe = subprocess.PIPE
    with subprocess.Popen([HELPER, "cat-file", path], stdout=pipe, stderr=pipe) as process:
        out = process.stdout
        assert out is not None and process.stderr is not None
        try:
            pieces = iter(lambda: out.read(PIECE), b"")
            yield cast(BinaryIO, io.BufferedReader(Pieces(bounded(pieces, Bound(path.name, path.stat().st_size)))))
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise GristmillError(f"{path}: apt-helper cannot read this file: {said}")


def download_package(archive: Archive, pinned: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let apt-get download `name=version` into a folder, from lists that are current and locked."""
    apt_get = shutil.which("apt-get")
    assert apt_get is not None, "only inside `current_lists`"
    options = _options(_folder(archive), archive, ["en"])
    only = ["-o", f"APT::Architecture={archive.architecture}"]  # also on a machine of another one
    return _run([apt_get, *options, *only, "download", pinned], folder)


def _folder(archive: Archive) -> Path:
    folder = cache_folder(fingerprint(asdict(archive)), kind="apt").absolute()
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return folder


def _options(folder: Path, archive: Archive, languages: Sequence[str]) -> list[str]:
    """Write the configuration that restricts apt-get to this archive and folder; returns the options to use it."""
    of_source = [f"arch={archive.architecture}", f"lang={','.join(languages)}", "target=Packages,Translations"]
    if archive.trusted:
        of_source.append("trusted=yes")
    elif KEYRING.exists():
        of_source.append(f"signed-by={KEYRING}")
    line = f"deb [{' '.join(of_source)}] {archive.mirror} {archive.release} {' '.join(archive.components)}\n"
    (folder / "sources.list").write_text(line, encoding="utf-8")
    (folder / "apt.conf").write_text("".join(f"#clear APT::Update::{hook};\n" for hook in HOOKS), encoding="utf-8")
    (folder / "status").touch()
    set_to = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",  # empty: installed packages do not matter
        "Dir::Cache": folder / "cache",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Update::Error-Mode": "any",
    }
    options = [part for name, value in set_to.items() for part in ("-o", f"{name}={value}")]
    return ["-q", "-c", str(folder / "apt.conf"), *options]


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": ""}  # its messages are parsed
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False, cwd=folder
    )


def _update(command: list[str], archive: Archive, bench: Bench) -> str:
    """Update the lists; returns apt-get's output."""
    done = _run([*command, "-o", "pkgCacheFile::Generate=false", "update"])  # only indextargets needs it
    said = done.stdout + done.stderr
    if done.returncode == 0 and not FAILED.search(said):
        return said
    where = f"{archive.mirror} {archive.release}"
    if PASSING.search(said):
        raise TransientError(f"{bench.recipe}: {bench.section}.mirror: {where}: {words(said)}")
    if NO_RELEASE.search(said):
        raise bench.wrong("release", words(said))
    if UNSIGNED.search(said):
        raise bench.wrong("mirror", f"{where}: not signed by a trusted key: {words(said)}")
    raise GristmillError(f"{bench.recipe}: {bench.section}.mirror: {where}: {words(said)}")


def words(said: str) -> str:
    """apt's first error, or else its first warning."""
    for sign in ("E: ", "W: ", "Err:", "N: "):
        for line in said.splitlines():
            if line.startswith(sign):
                return f"apt-get says: {line.removeprefix(sign).strip()}"
    return "apt-get says: " + (" ".join(said.split()) or "nothing")


def _downloaded(command: list[str], archive: Archive) -> list[List]:
    done = _run([*command, "indextargets", "--format", "$(CREATED_BY)|$(LANGUAGE)|$(COMPONENT)|$(FILENAME)"])
    if done.returncode != 0:
        raise GristmillError(f"apt-get indextargets: {words(done.stdout + done.stderr)}")
    lists = []
    for line in done.stdout.splitlines():
        kind, language, component, path = line.split("|", 3)
        lists.append(List(component, language if kind == "Translations" else None, Path(path)))
    return sorted(lists, key=lambda one: (archive.components.index(one.component), one.language or ""))


def _require(lists: list[List], archive: Archive, language: str, said: str, bench: Bench) -> None:
    """Raises RecipeError if a component or language has no list."""
    for component in archive.components:
        if not any(one.component == component and one.language is None for one in lists):
            about = [line for line in said.splitlines() if f"component '{component}'" in line]
            why = words("\n".join(about)) if about else f"not available for {archive.architecture}"
            raise bench.wrong("components", f"{archive.release} has no package list for {component}: {why}")
    for wanted in ("en", language):
        if not any(one.language == wanted for one in lists):
            key = "language" if wanted == language else "mirror"
            raise bench.wrong(key, f"{archive.mirror} {archive.release} has no descriptions in {wanted!r}")


def _note_release(folder: Path, bench: Bench) -> None:
    """Record the release in the report: the lists change, the report stays."""
    found = sorted((folder / "lists").glob("*_InRelease")) or sorted((folder / "lists").glob("*_Release"))
    if len(found) != 1:
        raise GristmillError(f"{folder / 'lists'}: expected one Release file, found {len(found)}")
    lines = found[0].read_text(encoding="utf-8", errors="replace").splitlines()
    given = dict(line.split(": ", 1) for line in lines if re.match(r"(Version|Suite|Codename|Date): ", line))
    bench.facts["debian"] = given.get("Version") or given.get("Codename") or given.get("Suite") or "unknown"
    bench.facts |= {key.lower(): given[key] for key in ("Suite", "Date") if key in given}
    bench.facts["inrelease_sha256"] = hash_file(found[0])
