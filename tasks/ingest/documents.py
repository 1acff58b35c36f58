"""Rows and texts to documents: where one begins, its id and its group."""

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from tasks.contract.errors import DataError
from tasks.ingest.decoding import BOM, plain_newlines, unescape
from tasks.ingest.formats import TEXTS, Row, SourceFile, read_rows, read_text
from tasks.ingest.markdown import markdown_to_text
from tasks.ingest.source import Bench, Document, Documents

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
TITLE = 60
"""Characters of a part's first lines in `source`."""


def documents_of_files(files: list[SourceFile], wanted: Documents, bench: Bench) -> Iterator[Document]:
    """The documents of files, in their order. Raises DataError, or RecipeError for settings that do not fit a file."""
    formats = [file.format for file in files]  # all names are checked before the first is read
    ids = Ids()
    for file, form in zip(files, formats, strict=True):
        bench.count("files")
        bench.count("bytes", file.path.stat().st_size)
        if form in TEXTS:
            if wanted.group_column is not None or wanted.id_column is not None:
                key = "group_column" if wanted.group_column is not None else "id_column"
                raise bench.wrong(f"documents.{key}", f"{file.name} is a text file and has no columns")
            yield from _documents_of_text(file, form, wanted, bench)
        else:
            if wanted.split_at is not None:
                raise bench.wrong("documents.split_at", f"{file.name} is a table; only text files are split")
            group = _group_of_path(file.name, wanted, bench)
            rows = read_rows(file, wanted)
            yield from documents_of_rows(rows, file.name, "line" if form == ".jsonl" else "row", group, ids)


def documents_of_rows(rows: Iterable[Row], name: str, unit: str, group: str | None, ids: "Ids") -> Iterator[Document]:
    """A document per row: id from its column or `<name>#<number>`, group from its column, `group`, or its id."""
    for row in rows:
        place = f"{name} {unit} {row.number}"
        key = f"{name}#{row.number}"
        if row.id is not None:
            ids.add(row.id, place)
            key = row.id
        yield Document(key, row.group or group or key, row.text, place, row.problem)


class Ids:
    """Sees that the ids of a column are unique. The one thing that grows with the corpus: some 200 bytes an id."""

    def __init__(self) -> None:
        self._seen: dict[bytes, str] = {}

    def add(self, name: str, place: str) -> None:
        """Raises DataError with both places where an id comes a second time."""
        first = self._seen.setdefault(blake2b(name.encode(), digest_size=16).digest(), place)
        if first is not place:
            raise DataError(f"{place}: the id {name!r} is also that of {first}; ids must be unique")


def _documents_of_text(file: SourceFile, form: str, wanted: Documents, bench: Bench) -> Iterator[Document]:
    group = _group_of_path(file.name, wanted, bench) or file.stem
    text = read_text(file)
    offset = len(BOM.encode()) if text.startswith(BOM) else 0
    text = text.removeprefix(BOM)
    if wanted.split_at is None:
        body, problem = _plain(text, form, file.name, offset)
        yield Document(file.name, group, body, file.name, problem)
        return
    number = 0
    for raw, lines in _parts(text, re.compile(wanted.split_at)):
        body, problem = _plain(raw, form, file.name, offset)
        offset += len(raw.encode("utf-8", "surrogateescape"))
        if not body.strip():
            continue
        number += 1
        title = " / ".join(_plain(line, form, "", 0)[0].strip() for line in lines)[:TITLE]
        source = f"{file.name} part {number}" + (f": {title}" if title else "")
        yield Document(f"{file.name}#{number}", group, body, source, problem)


def _parts(text: str, begins: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """The parts of a text and the lines that begin each; what stands before the first such line is a part too."""
    start = at = 0
    title: list[str] = []
    open_title = False
    for match in LINE.finditer(text):
        line = match.group().rstrip("\r\n")
        if begins.search(line):
            if not open_title:
                yield text[start:at], title
                start, title = at, []
            title.append(line)
            open_title = True
        elif line.strip():
            open_title = False
        at = match.end()
    yield text[start:], title


def _plain(raw: str, form: str, name: str, offset: int) -> tuple[str, str | None]:
    """The plain text of a piece of a file that begins at byte `offset`, and what is wrong with it."""
    text, wrong = unescape(raw)
    text = plain_newlines(text)
    problem = None if wrong is None else f"not UTF-8 at byte {offset + wrong} of {name}"
    return (markdown_to_text(text) if form == ".md" else text), problem


def _group_of_path(name: str, wanted: Documents, bench: Bench) -> str | None:
    if wanted.group_pattern is None:
        return None
    match = re.search(wanted.group_pattern, name)
    group = match and (match.group(1) if match.re.groups else match.group())
    if not group:
        raise bench.wrong("documents.group_pattern", f"finds no group in {name!r}")
    return group
