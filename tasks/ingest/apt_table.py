"""Packages and descriptions in a table on disk, for constant memory and a fixed order.

All packages with the same Description-md5 share a description; the first by name represents them.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.ingest.apt_lists import List, opened
from tasks.ingest.apt_text import stanzas
from tasks.ingest.source import Bench

TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE packages (name TEXT PRIMARY KEY, source TEXT, section TEXT, component TEXT, md5 TEXT) WITHOUT ROWID;
CREATE INDEX packages_of_description ON packages (md5, name);
CREATE TABLE descriptions (
    language TEXT, md5 TEXT, synopsis TEXT, long TEXT, problem TEXT, PRIMARY KEY (language, md5)
) WITHOUT ROWID;
"""
SHOWN_BLANK = "\u22c5"
"""The dot that Debian's translation pages show for a non-breaking space; many translators copied it (in one of eight
French descriptions)."""
INSERT = "INSERT OR IGNORE INTO {} VALUES (?, ?, ?, ?, ?)"
COUNTS = """
SELECT count(*), count(descriptions.md5)
FROM packages LEFT JOIN descriptions ON language = 'en' AND descriptions.md5 = packages.md5
"""
FIRST = """
SELECT name, source, section, component, english.synopsis, english.long, english.problem, {other}
FROM packages JOIN descriptions AS english ON english.language = 'en' AND english.md5 = packages.md5 {join}
WHERE name = (SELECT min(name) FROM packages AS same WHERE same.md5 = packages.md5)
ORDER BY name
"""
OTHER = "JOIN descriptions AS other ON other.language = :language AND other.md5 = packages.md5"


@dataclass(frozen=True)
class Description:
    """A description in one language."""

    synopsis: str
    long: str
    """Lines as in the list, with Debian's markup; may be empty."""
    problem: str | None


@dataclass(frozen=True)
class Package:
    """The first package, by name, of those that share a description."""

    name: str
    source: str
    section: str | None
    """Without the component: `games`, not `contrib/games`."""
    component: str
    english: Description
    other: Description | None
    """In the requested language."""


def write_table(lists: Iterable[List], place: Path, bench: Bench) -> None:
    """Read the lists into a new table at `place`. Raises GristmillError for an unreadable list."""
    with closing(sqlite3.connect(place)) as table:
        table.executescript(TABLES)
        for one in lists:
            with opened(one.path) as stream:
                if one.language is None:
                    table.executemany(INSERT.format("packages"), _packages(stream, one.component))
                else:
                    table.executemany(INSERT.format("descriptions"), _descriptions(stream, one.language))
        table.commit()
        ((count, described),) = table.execute(COUNTS)
        bench.count("packages", count)
        if described < count:
            bench.count("packages_without_description", count - described)


def sections(table: sqlite3.Connection) -> list[str]:
    """All sections of the packages, sorted."""
    return [name for (name,) in table.execute("SELECT DISTINCT section FROM packages WHERE section > '' ORDER BY 1")]


def packages(table: sqlite3.Connection, language: str | None) -> Iterator[Package]:
    """One package per description, sorted by name; with a language, only those translated into it."""
    other = "other.synopsis, other.long, other.problem" if language else "NULL, NULL, NULL"
    query = FIRST.format(other=other, join=OTHER if language else "")
    for name, source, section, component, *texts in table.execute(query, {"language": language}):
        there = None if language is None else Description(*texts[3:])
        yield Package(name, source, section, component, Description(*texts[:3]), there)


def _packages(stream: BinaryIO, component: str) -> Iterator[tuple[str | None, ...]]:
    for stanza in stanzas(stream, ("Package", "Source", "Section", "Description-md5")):
        fields = stanza.fields
        if name := fields.get("package"):
            source = fields.get("source", name).split(" ")[0]  # may end with a version
            section = fields.get("section", "").rpartition("/")[2]
            yield name, source, section or None, component, fields.get("description-md5")


def _descriptions(stream: BinaryIO, language: str) -> Iterator[tuple[str | None, ...]]:
    field = f"Description-{language}"
    for stanza in stanzas(stream, ("Description-md5", field)):
        wrong = stanza.wrong_byte
        problem = None if wrong is None else f"not UTF-8 at byte {wrong} of Translation-{language}"
        if len(stanza.fields) == 2:
            text = stanza.fields[field.lower()]
            synopsis, _, long = (text if language == "en" else text.replace(SHOWN_BLANK, "\xa0")).partition("\n")
            yield language, stanza.fields["description-md5"], synopsis.rstrip(), long, problem
