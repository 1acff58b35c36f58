"""Rows and texts to documents: boundaries, ids and groups."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Literal

from tasks.ingest.conversation_keys import ANSWERING, ASKING
from tasks.ingest.decoding import BOM, plain_newlines, unescape
from tasks.ingest.encodings import not_valid
from tasks.ingest.formats import LINES, TABLES, TEXTS, SourceFile, format_of, is_text, read_lines, read_rows, read_text
from tasks.ingest.markdown import markdown_to_text
from tasks.ingest.rows import Row, columns_wanted
from tasks.ingest.source import Bench, Document, Documents, require_bound, require_length
from tasks.stage.runtime import workers
from tasks.workers.parallel_map import parallel_map

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
    wanted: Documents


def documents_of_files(files: list[SourceFile], wanted: Documents, bench: Bench) -> Iterator[Document]:
    """The documents of files, in order. Raises DataError, or RecipeError for settings that do not fit a file."""
    require_fit(files, wanted, bench)  # all names before reading the first
    for file in files:
        bench.count("files")
        size = file.path.stat().st_size
        if is_text(file, wanted) and wanted.split_at is None:
            require_length(size, file.name)
        bench.count("bytes", size)
    for are_texts, run in groupby(files, key=lambda file: is_text(file, wanted)):
        told = ((f, of_path("group", f, wanted, bench), of_path("label", f, wanted, bench)) for f in run)
        if are_texts:
            texts = [Text(file, group or file.stem, label, wanted) for file, group, label in told]
            if (processes := _processes(texts)) == 1:
                for text in texts:
                    yield from documents_of_text(text)
            else:
                for documents in parallel_map(_all_documents, texts, processes):
                    yield from documents
        else:
            for file, group, label in told:
                unit = "line" if format_of(file, wanted) in (".jsonl", LINES) else "row"
                yield from documents_of_rows(read_rows(file, wanted, bench), file.name, unit, group, label)


def require_fit(files: list[SourceFile], wanted: Documents, bench: Bench) -> None:
    """Raises RecipeError for settings that do not fit the format of a file."""
    for key, sentence in unfit(files, wanted):
        raise bench.wrong(key, sentence)


def unfit(files: list[SourceFile], wanted: Documents) -> Iterator[tuple[str, str]]:
    """Keys that do not fit the format of a file, each with a sentence. Raises DataError for an unsupported format."""
    if wanted.row_pattern is not None:
        yield from _unfit_lines(files, wanted)
        return
    for file in files:
        if file.format not in TEXTS and wanted.split_at is not None:
            yield "documents.split_at", f"{file.name} is a table; only text files can be split"
        if file.format not in (".csv", ".tsv") and wanted.delimiter is not None:
            yield "documents.delimiter", f"{file.name} is not a CSV file"
        if file.format == ".parquet" and wanted.encoding is not None:
            yield "documents.encoding", f"{file.name} is a Parquet file, always UTF-8"
        for key in (*ASKING, *ANSWERING, "target_column", "label_column", "group_column", "id_column"):
            if file.format in TEXTS and getattr(wanted, key) is not None:
                yield f"documents.{key}", f"{file.name} is a text file and has no columns"
    if "text_column" in wanted.model_fields_set and all(file.format in TEXTS for file in files):
        others = " and all others are text files" if len(files) > 1 else " is a text file"
        yield "documents.text_column", f"{files[0].name}{others} without columns"


def _unfit_lines(files: list[SourceFile], wanted: Documents) -> Iterator[tuple[str, str]]:
    """`unfit` for files whose lines are rows."""
    for file in files:
        name = file.name.lower()
        if table := next((suffix for suffix in (*TABLES, ".ndjson") if suffix in PurePosixPath(name).suffixes), None):
            yield "documents.row_pattern", f"{file.name} is a table ({table}); only the lines of text files can be rows"
        if wanted.delimiter is not None:
            yield "documents.delimiter", f"{file.name} is not a CSV file"
    groups = re.compile(wanted.row_pattern or "").groupindex
    for column in columns_wanted(wanted):
        if column not in groups:
            key = next((key for key, value in wanted if value == column and key.endswith("_column")), "prompt_template")
            yield f"documents.{key}", f"row_pattern has no group {column!r} (available: {', '.join(groups)})"


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
        group_of = row.group or group or key
        told = (row.problem, row.target, row.label or label, row.messages, row.rejected)
        yield Document(key, group_of, row.text, place, *told, cut=row.cut)


def _all_documents(text: Text) -> list[Document]:
    return list(documents_of_text(text))


def documents_of_text(text: Text) -> Iterator[Document]:
    """The documents of a text file: the whole or its parts. Raises DataError for a damaged file."""
    file, wanted, offset, number = text.file, text.wanted, 0, 0
    if wanted.split_at is None:
        body, problem = _plain(read_text(file, wanted), text, offset)
        yield Document(file.name, text.group, body, file.name, problem, label=text.label)
        return
    for raw, lines in _parts(read_lines(file, wanted), re.compile(wanted.split_at), file.name):
        body, problem = _plain(raw, text, offset)
        offset += len(raw.encode("utf-8", "surrogateescape"))
        if not body.strip():
            continue
        number += 1
        title = " / ".join(_plain(line, text, 0)[0].strip() for line in lines)[:TITLE]
        source = f"{file.name} part {number}" + (f": {title}" if title else "")
        yield Document(f"{file.name}#{number}", text.group, body, source, problem, label=text.label)


def _parts(lines: Iterable[str], begins: re.Pattern[str], name: str) -> Iterator[tuple[str, list[str]]]:
    """The parts of a text, each with the lines that begin it; the text before the first such line is a part, too."""
    part, size = io.StringIO(), 0
    title: list[str] = []
    open_title = False
    for whole in lines:
        line = whole.removeprefix(BOM) if not (size or title) else whole
        bare = line.rstrip("\r\n")
        if begins.search(bare):
            if not open_title:
                yield part.getvalue(), title
                part, size, title = io.StringIO(), 0, []
            title.append(bare)
            open_title = True
        elif bare.strip():
            open_title = False
        part.write(whole)
        size += len(whole)
        require_bound(size, f"{name}: a part, split by documents.split_at,")
    yield part.getvalue(), title


def _plain(raw: str, of: Text, offset: int) -> tuple[str, str | None]:
    """The plain text of a piece that begins at byte `offset` of a file, and its problem."""
    if offset == 0 and raw.startswith(BOM):
        raw, offset = raw.removeprefix(BOM), len(BOM.encode())
    text, wrong = unescape(raw)
    text = plain_newlines(text)
    problem = None if wrong is None else not_valid(offset + wrong, of.file.name, of.wanted.encoding)
    return (markdown_to_text(text) if of.file.format == ".md" else text), problem


def of_path(what: Literal["group", "label"], file: SourceFile, wanted: Documents, bench: Bench) -> str | None:
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
