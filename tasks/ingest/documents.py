"""Rows and texts to documents: boundaries, ids and groups."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from tasks.ingest.decoding import BOM, plain_newlines, unescape
from tasks.ingest.formats import TEXTS, SourceFile, read_rows, read_text
from tasks.ingest.markdown import markdown_to_text
from tasks.ingest.rows import Row
from tasks.ingest.source import Bench, Document, Documents, require_length
from tasks.stage.runtime import workers
from tasks.workers.parallel_map import parallel_map

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
TITLE = 60
"""Maximum characters of a part's headings in `source`."""
ALONE = 1 << 20
"""Up to this many bytes of Markdown are parsed in one process."""


@dataclass(frozen=True)
class Text:
    """A text file and its settings: everything that a worker process needs."""

    file: SourceFile
    group: str
    label: str | None
    split_at: str | None


def documents_of_files(files: list[SourceFile], wanted: Documents, bench: Bench) -> Iterator[Document]:
    """The documents of files, in order. Raises DataError, or RecipeError for settings that do not fit a file."""
    for file in files:  # check all names before reading the first
        _check(file, wanted, bench)
        bench.count("files")
        size = file.path.stat().st_size
        if file.format in TEXTS and wanted.split_at is None:
            require_length(size, file.name)
        bench.count("bytes", size)
    if "text_column" in wanted.model_fields_set and all(file.format in TEXTS for file in files):
        raise bench.wrong("documents.text_column", f"{files[0].name} and all others are text files without columns")
    for are_texts, run in groupby(files, key=lambda file: file.format in TEXTS):
        told = ((f, _of_path("group", f, wanted, bench), _of_path("label", f, wanted, bench)) for f in run)
        if are_texts:
            texts = [Text(file, group or file.stem, label, wanted.split_at) for file, group, label in told]
            for documents in parallel_map(documents_of_text, texts, _processes(texts)):
                yield from documents
        else:
            for file, group, label in told:
                unit = "line" if file.format == ".jsonl" else "row"
                yield from documents_of_rows(read_rows(file, wanted), file.name, unit, group, label)


def _check(file: SourceFile, wanted: Documents, bench: Bench) -> None:
    if file.format not in TEXTS and wanted.split_at is not None:
        raise bench.wrong("documents.split_at", f"{file.name} is a table; only text files can be split")
    for key in ("target_column", "label_column", "group_column", "id_column"):
        if file.format in TEXTS and getattr(wanted, key) is not None:
            raise bench.wrong(f"documents.{key}", f"{file.name} is a text file and has no columns")


def _processes(texts: list[Text]) -> int:
    """All workers, but only if parsing the Markdown takes longer than starting them."""
    size = sum(text.file.path.stat().st_size for text in texts if text.file.format == ".md")
    return min(workers(), len(texts)) if size > ALONE else 1


def documents_of_rows(
    rows: Iterable[Row], name: str, unit: str, group: str | None, label: str | None = None
) -> Iterator[Document]:
    """One document per row: id from its column or `<name>#<number>`, group from its column, `group`, or its id.

    `label` is the class of rows without a label.
    """
    for row in rows:
        place = f"{name} {unit} {row.number}"
        key = f"{name}#{row.number}" if row.id is None else row.id
        yield Document(key, row.group or group or key, row.text, place, row.problem, row.target, row.label or label)


def documents_of_text(text: Text) -> list[Document]:
    """The documents of a text file: the whole or its parts. Raises DataError for a damaged file."""
    file, form = text.file, text.file.format
    content = read_text(file, in_parts=text.split_at is not None)
    offset = len(BOM.encode()) if content.startswith(BOM) else 0
    content = content.removeprefix(BOM)
    if text.split_at is None:
        body, problem = _plain(content, form, file.name, offset)
        return [Document(file.name, text.group, body, file.name, problem, label=text.label)]
    documents: list[Document] = []
    for raw, lines in _parts(content, re.compile(text.split_at)):
        body, problem = _plain(raw, form, file.name, offset)
        offset += len(raw.encode("utf-8", "surrogateescape"))
        if not body.strip():
            continue
        number = len(documents) + 1
        title = " / ".join(_plain(line, form, "", 0)[0].strip() for line in lines)[:TITLE]
        source = f"{file.name} part {number}" + (f": {title}" if title else "")
        documents.append(Document(f"{file.name}#{number}", text.group, body, source, problem, label=text.label))
    return documents


def _parts(text: str, begins: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """The parts of a text, each with the lines that begin it; the text before the first such line is a part, too."""
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
    """The plain text of a piece that begins at byte `offset` of a file, and its problem."""
    text, wrong = unescape(raw)
    text = plain_newlines(text)
    problem = None if wrong is None else f"not UTF-8 at byte {offset + wrong} of {name}"
    return (markdown_to_text(text) if form == ".md" else text), problem


def _of_path(what: Literal["group", "label"], file: SourceFile, wanted: Documents, bench: Bench) -> str | None:
    """The group or label from a file's path, or None without a pattern in the settings."""
    key = f"{what}_pattern"
    pattern: str | None = getattr(wanted, key)
    if pattern is None:
        return None
    match = re.search(pattern, file.name)
    found = match and (match.group(1) if match.re.groups else match.group())
    if not found or not found.strip():
        raise bench.wrong(f"documents.{key}", f"no {what} found in the path {file.name!r}")
    return found
