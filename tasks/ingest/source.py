"""The base of all kinds of source: common settings, and the interface that yields documents."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.formats.corpus import EXTRA
from tasks.ingest.conversation_keys import ANSWERING, ConversationKeys
from tasks.ingest.encodings import known_encoding
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import Name, Section
from tasks.stage.task import CHATS, FAMILIES

LONGEST = 2**31 - 1
"""Maximum bytes of a document's text and of its target: the rules of `clean` use 32-bit offsets."""

TEXT = "text"
"""Default column of the text."""

ROOM = 1 << 20
"""Maximum bytes of a line, row or part of a file beyond LONGEST: escapes, markup, columns that are not read."""


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a valid regular expression: {error}") from error
    return pattern


def _with_groups(pattern: str) -> str:
    if not re.compile(pattern).groupindex:
        raise ValueError("names no group; write one for each column, as in (?P<word>…)")
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compilable)]
Encoding = Annotated[str, AfterValidator(known_encoding)]
Delimiter = Annotated[str, Field(pattern=r'^[^"\r\n\x00]$')]


class Documents(ConversationKeys):
    """What a document is: a table row, a text file, or a part of a text file.

    A dot addresses a nested column: `translation.en` for `{"translation": {"en": …, "fr": …}}`, unless a column has
    exactly that name. A document that lacks its target or label is kept, with a problem.
    """

    encoding: Encoding | None = None
    """Text files and tables but Parquet: the encoding, such as `utf-16`, `cp1252` or `shift_jis`. Default: UTF-8."""
    delimiter: Delimiter | None = None
    """CSV files: what separates columns, such as `;`. Default: a comma, or in .tsv files a tab."""
    split_at: Pattern | None = None
    """Text files: a regular expression; each matching line begins a document. Consecutive matching lines, with at most
    blank lines between them, begin one document together (the headings of an act and a scene)."""
    row_pattern: Annotated[Pattern, AfterValidator(_with_groups)] | None = None
    """Text files, of any suffix: a regular expression with named groups, `(?P<word>…)`, searched in each line. A line
    that matches is a row of a table, with the groups as its columns; others are counted and left out."""
    row_replace: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    """With `row_pattern`: text to replace in the columns, such as underscores between words: `{"_": " "}`."""
    text_column: Name = TEXT
    """Tables: the column with the text."""
    target_column: Name | None = None
    """Tables: the column with the target, such as a translation or a summary."""
    label_column: Name | None = None
    """Tables: the column with the class: text, integers or booleans."""
    label_pattern: Pattern | None = None
    """A regular expression to search in the file's path; its first group, or else the whole match, is the class."""
    id_column: Name | None = None
    """Tables: the column with the id. Default: path and row number."""
    group_column: Name | None = None
    """Tables: the column with the group."""
    group_pattern: Pattern | None = None
    """A regular expression to search in the file's path; its first group, or else the whole match, is the group.
    Without a column or pattern, a text file's group is its name without suffixes, and each row is its own group."""

    @model_validator(mode="after")
    def _one_way_to_a_label_and_a_group(self) -> Self:
        if self.label_column is not None and self.label_pattern is not None:
            raise ValueError("label_column and label_pattern are mutually exclusive")
        if self.group_column is not None and self.group_pattern is not None:
            raise ValueError("group_column and group_pattern are mutually exclusive")
        if self.split_at is not None and self.row_pattern is not None:
            raise ValueError("split_at and row_pattern are mutually exclusive")
        if self.row_replace and self.row_pattern is None:
            raise ValueError("row_replace needs row_pattern")
        if self.answering is not None and (other := self._of_texts()) is not None:
            raise ValueError(f"{self.answering} and {other} are mutually exclusive")
        return self

    def _of_texts(self) -> str | None:
        """A key for documents that are not conversations, if it is set."""
        keys = ("text_column", "target_column", "split_at")
        return next((key for key in keys if key in self.model_fields_set and getattr(self, key) is not None), None)


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the stage's output; see `tasks.formats.corpus`."""

    id: str
    group: str
    text: str
    source: str
    problem: str | None = None
    target: str | None = None
    label: str | None = None
    messages: str | None = None
    rejected: str | None = None
    part: str | None = None
    split: str | None = None
    cut: int = 0
    """Turns of a conversation after its last answer, which were left out; not a column."""

    @property
    def characters(self) -> int:
        """Characters of all its texts."""
        return sum(len(each or "") for each in (self.text, self.target, self.messages, self.rejected))


def require_length(size: int, place: str, what: str = "text") -> None:
    """Raises DataError if a document is too long."""
    if size > LONGEST:
        raise DataError(
            f"{place}: {what} exceeds {LONGEST:,} bytes, the maximum of a document; split it (text files: "
            "documents.split_at)"
        )


def require_bound(size: int, place: str) -> None:
    """Raises DataError for a piece of a file that is too long for a document, before all of it is in memory."""
    if size > LONGEST + ROOM:
        raise DataError(f"{place} exceeds {LONGEST + ROOM:,} bytes, the maximum; is this the right format?")


def longest_line() -> int:
    """How many characters of a line to read: one more than `require_bound` allows."""
    return LONGEST + ROOM + 1


def require_lengths(document: Document) -> None:
    """`require_length` for its texts; encodes only long ones, as a character has at most 4 bytes."""
    for what in ("text", "target", "messages", "rejected"):
        text: str | None = getattr(document, what)
        if text is not None and len(text) > LONGEST // 4:
            require_length(len(text.encode()), document.source, what)


NEEDED = {
    "chat": "conversations: messages_column, or prompt_column with completion_column, or instruction_column with "
    "output_column",
    "preference": "chosen_column and rejected_column, with prompt_column unless both are whole conversations",
}
"""What a task needs of `documents`, for messages."""


@dataclass(frozen=True)
class Looked:
    """What `Source.look` saw, where it saw all documents of a source."""

    documents: int
    problems: list[str]
    labels: set[str]


@dataclass
class Bench:
    """The workspace of a source: its scratch folder and its counts."""

    recipe: Path
    scratch: Path
    """Removed with the stage's partial outputs."""
    received: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts for the report besides the settings, such as the version of a source that changes."""
    section: str = "ingest"
    """The path of the source in the recipe."""
    part: str | None = None
    """Mixtures: the name of the source."""
    looked: Looked | None = None
    """Mixtures: set by `Source.look`, to judge all sources together."""

    def wrong(self, key: str, sentence: str) -> RecipeError:
        """An error about a key of the source."""
        return RecipeError(f"{self.recipe}: {self.section}.{key}: {sentence}")

    def empty(self, documents: int, problem: str | None = None) -> RecipeError:
        """The error for a source without text; `problem`: the first one of a document."""
        told = "" if problem is None else f"; the first: {problem}"
        what = "corpus" if self.part is None else f"source {self.part}"
        return self.wrong("kind", f"the {what} is empty: {documents} documents, none with text{told}")

    def one_class(self, key: str, label: str) -> RecipeError:
        """The error for labels that are all the same."""
        return self.wrong(key, f"every document has the class {label!r}; a classifier needs two or more")

    def require_few(self, problems: list[str], documents: int, limit: float, allowed: float, first: str = "") -> None:
        """Raises DataError if more than `limit` of the documents have a problem.

        `allowed`: the largest share that validation allows; `first`: `first ` if the source has more documents.
        """
        if len(problems) > limit * documents:
            name = f"; name the encoding with {self.section}.documents.encoding, such as cp1252"
            told = f"{problems[0]}{name if problems[0].startswith('not UTF-8') else ''}"
            raise DataError(
                f"{self.recipe}: {self.section}: problems in {len(problems):,} of the {first}{documents:,} documents, "
                f"more than validate.max_problem_share, {allowed:g}; the first: {told}"
            )

    def count(self, what: str, amount: int = 1) -> None:
        """Add to the report's count of received items."""
        self.received[what] = self.received.get(what, 0) + amount


class Source(Section, ABC):
    """Where the text comes from. Each kind is a subclass, selected by its field `kind`."""

    licence: Name
    """Licence of the text, for the model card: `MIT`, `CC-BY-4.0`, `public domain`, or a sentence."""
    documents: Documents = Documents()
    """How files and rows become documents."""

    @abstractmethod
    def read(self, bench: Bench) -> Iterator[Document]:
        """The documents, always in the same order.

        Raises RecipeError, DataError, or TransientError for a temporary network failure.
        """

    def look(self, bench: Bench, most: float = 1) -> None:
        """What `gristmill check` can tell before anything runs: raises what `read` would for what is on this disk, and
        DataError if a larger share than `most` of the documents has a problem."""

    def locate(self, bench: Bench) -> None:
        """Raises RecipeError for a source that is not where the recipe says, before anything else is asked."""

    def misplaced(self) -> Iterator[str]:
        """Keys that this source does not allow, as far as the recipe tells; each line begins with the key."""
        yield from ()

    def columns(self) -> set[str]:
        """The columns of its documents besides the text: `target`, `label`; `messages` for conversations, `rejected`
        for preferences."""
        wanted = self.documents
        given = {
            "target": wanted.target_column,
            "label": wanted.label_column or wanted.label_pattern,
            "messages": None if wanted.rejected_column is not None else wanted.answering,
            "rejected": wanted.rejected_column,
        }
        return {name for name, where in given.items() if where is not None}

    def stored(self) -> set[str]:
        """All columns that its documents have besides the text: the answers of a conversation are its target."""
        found = self.columns()
        return found | ({"messages", "target"} if found & {"messages", "rejected"} else set())

    def extra(self) -> tuple[str, ...]:
        """The columns of `tasks.formats.corpus.EXTRA` that its documents have."""
        return tuple(name for name in EXTRA if name in self.stored())

    def key_of(self, column: str) -> str:
        """The key that decides whether its documents have a column: `documents.target_column`."""
        of_path = column == "label" and self.documents.label_pattern is not None
        if column == "messages":
            given = None if self.documents.rejected_column is not None else self.documents.answering
            return f"documents.{given or ANSWERING[0]}"
        return f"documents.{column}_{'pattern' if of_path else 'column'}"

    def problems(self, task: str) -> Iterator[str]:
        """Keys that the source does not allow, and columns that a task lacks or does not read; each begins with the
        key."""
        yield from self.misplaced()
        needs, gives = FAMILIES[task].needs, self.columns()
        if needs is not None and needs not in gives and task in CHATS:
            yield f"{self.key_of(needs)}: no {needs}; {task} needs {NEEDED[task]}"
        elif needs is not None and needs not in gives:
            yield f"{self.key_of(needs)}: no {needs}; {task} needs one for each text"
        for column in sorted(gives - {needs}):
            readers = " or ".join(name for name, family in FAMILIES.items() if family.needs == column)
            yield (
                f"{self.key_of(column)}: {task} does not read the {column}; remove or change this key, or use task: "
                f"{readers}" + (" (causal models can do both)" if column == "target" else "")
            )

    def has_ids(self) -> bool:
        """Whether its documents have ids of their own, which may repeat; others are file names and row numbers."""
        return self.documents.id_column is not None

    def local_paths(self) -> list[str]:
        """Project files and folders that it reads, for DVC to watch; empty for a pinned source."""
        return []

    @abstractmethod
    def title(self) -> str:
        """A short name for tables: the source and its version."""

    def told(self) -> dict[str, Any]:
        """The settings for the report, without `documents` and what training alone reads."""
        return self.model_dump(mode="json", exclude={"documents", "weight", "epochs"}, exclude_none=True)
