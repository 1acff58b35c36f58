"""What `gristmill check` sees of a source before anything runs: its names, and its first documents."""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tasks.fetch.compressed import PACKED
from tasks.ingest.decoding import BOM, plain_newlines
from tasks.ingest.documents import of_path, require_fit, unfit
from tasks.ingest.encodings import SAMPLE, not_valid
from tasks.ingest.formats import SourceFile, is_text, open_utf8, read_rows
from tasks.ingest.rows import FIRST, Row
from tasks.ingest.source import Bench, Documents, Looked
from tasks.stage.errors import DataError, RecipeError

LOOKED = 20
"""Files whose first rows are read, and problems that are told."""
HALF = 0.5
"""A larger share of problems among the first documents is no accident."""
SUFFIX = re.compile(r"\.[A-Za-z0-9]+$")
"""The end of a glob whose files all have one suffix."""


def look_at_files(files: list[SourceFile], wanted: Documents, bench: Bench, most: float) -> None:
    """Look at the names of all files and at the first rows of the first ones. Raises what `documents_of_files` would,
    with one line per file, and DataError if a larger share than `most` of the documents has a problem."""
    problems: list[str] = []
    first = First(wanted, whole=len(files) <= LOOKED)
    for number, file in enumerate(files):
        try:
            require_fit([file], wanted, bench)
            of_path("group", file, wanted, bench)
            label = of_path("label", file, wanted, bench)
            if number < LOOKED and is_text(file, wanted):
                first.add_text(file, label)
            elif number < LOOKED:
                first.add_rows(read_rows(file, wanted), label)
        except (DataError, RecipeError) as error:
            problems.append(str(error))
    if problems:
        more = [f"… and {len(problems) - LOOKED:,} more files"] if len(problems) > LOOKED else []
        raise DataError("\n".join([*problems[:LOOKED], *more]))
    first.require_good(bench, most)


@dataclass
class First:
    """The first documents of a source, as `gristmill check` sees them."""

    wanted: Documents
    whole: bool = True
    """Whether they are all."""
    documents: int = 0
    problems: list[str] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    text: bool = False
    split: bool | None = None
    """Whether a line matches `split_at`; None without a text file."""

    def add_rows(self, rows: Iterable[Row], label: str | None = None) -> None:
        """Add the first rows of a table."""
        before = self.documents
        for row in islice(rows, FIRST):
            self._add(row.problem, bool(row.text), row.label or label)
        self.whole &= self.documents < before + FIRST

    def add_text(self, file: SourceFile, label: str | None) -> None:
        """Add the beginning of a text file."""
        problem = None
        with open_utf8(file, self.wanted) as stream:
            data = stream.read(SAMPLE)
        try:
            codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) < SAMPLE)
        except UnicodeDecodeError as error:
            problem = not_valid(error.start, file.name, self.wanted.encoding)
        if self.wanted.split_at is not None:
            lines = plain_newlines(data.decode(errors="replace").removeprefix(BOM)).split("\n")
            self.split = bool(self.split) or any(re.search(self.wanted.split_at, line) for line in lines)
        self._add(problem, bool(data.removeprefix(codecs.BOM_UTF8)), label)
        self.whole &= len(data) < SAMPLE

    def _add(self, problem: str | None, text: bool, label: str | None) -> None:
        self.documents += 1
        self.text |= text
        if problem is not None:
            self.problems.append(problem)
        if label is not None:
            self.labels.add(label)

    def require_good(self, bench: Bench, most: float) -> None:
        """Raises DataError for too many documents with a problem: more than `most` of all of them, or where these are
        only the first or one source of a mixture, also more than half; RecipeError for a corpus without text, with a
        single class, or whose texts are not split."""
        of_all = self.whole and bench.part is None
        bench.require_few(
            self.problems, self.documents, most if of_all else max(most, HALF), most, "" if self.whole else "first "
        )
        if self.whole and not self.text:
            raise bench.empty(self.documents)
        if of_all and len(self.labels) == 1:
            key = "documents.label_column" if self.wanted.label_pattern is None else "documents.label_pattern"
            raise bench.one_class(key, *self.labels)
        if self.whole and self.split is False:
            raise bench.wrong("documents.split_at", f"no line of the text matches {self.wanted.split_at!r}")
        if self.whole:
            bench.looked = Looked(self.documents, self.problems, self.labels)


def unfit_globs(globs: Sequence[str], wanted: Documents) -> Iterator[str]:
    """What `unfit` tells of globs that end in a suffix, before their files are there; each line begins with the key."""
    named = [glob for glob in globs if (end := SUFFIX.search(glob)) and end[0].lower() not in PACKED]
    files = [SourceFile(glob, Path(glob)) for glob in named]
    try:
        found = list(unfit(files, wanted)) if len(named) == len(globs) else []
    except DataError as error:
        found = [("files", str(error))]
    yield from (f"{key}: {sentence}" for key, sentence in dict(reversed(found)).items())
