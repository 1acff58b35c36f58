"""What every kind of source has in common: its settings, and how it hands over documents."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import Name, Section

LONGEST = 2**31 - 1
"""Bytes of a document's text, and of its target: the rules of `clean` count places in them with 32 bits."""


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compilable)]


class Documents(Section):
    """What a document is: a row of a table, a text file, or a part of a text file.

    A column inside another is written with a dot: `translation.en` for `{"translation": {"en": …, "fr": …}}`, where
    no column is called just that. A document without a target or label that it should have is kept with its problem.
    """

    split_at: Pattern | None = None
    """Text files: a regular expression; a document begins at each line that matches. Consecutive matching lines,
    blank ones between them ignored, begin one document together (the headings of an act and a scene)."""
    text_column: Name = "text"
    """Tables: the column with the text."""
    target_column: Name | None = None
    """Tables: the column with the target, such as a translation or a summary."""
    label_column: Name | None = None
    """Tables: the column with the class; text, whole numbers, or true and false."""
    label_pattern: Pattern | None = None
    """A regular expression searched in the path of the file; its first group, or the whole match, is the class."""
    id_column: Name | None = None
    """Tables: the column with the id (None: the path and the row number)."""
    group_column: Name | None = None
    """Tables: the column with the group."""
    group_pattern: Pattern | None = None
    """A regular expression searched in the path of the file; its first group, or the whole match, is the group.
    Without a column or pattern, a text file's group is its name without suffixes, and each row is its own group."""

    @model_validator(mode="after")
    def _one_way_to_a_label(self) -> Self:
        if self.label_column is not None and self.label_pattern is not None:
            raise ValueError("label_column and label_pattern: only one of them can give the class")
        return self


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


def require_length(size: int, place: str, what: str = "text") -> None:
    """Raises DataError for more bytes than a document may have."""
    if size > LONGEST:
        raise DataError(
            f"{place}: its {what} has more than {LONGEST:,} bytes, the most of a document; split it (text files: "
            "documents.split_at)"
        )


def require_lengths(document: Document) -> None:
    """`require_length` of text and target; only what is long is measured, as a character has at most 4 bytes."""
    for what, text in (("text", document.text), ("target", document.target)):
        if text is not None and len(text) > LONGEST // 4:
            require_length(len(text.encode()), document.source, what)


@dataclass
class Bench:
    """Where a source works: what it may write to, and what it counts."""

    recipe: Path
    scratch: Path
    """A folder that is removed with the stage's partial outputs."""
    received: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """What the report says of the source beside its settings: which version a source that changes was."""

    def wrong(self, key: str, sentence: str) -> RecipeError:
        """An error in a key of the section `ingest`."""
        return RecipeError(f"{self.recipe}: ingest.{key}: {sentence}")

    def count(self, what: str, amount: int = 1) -> None:
        """Add to what came in."""
        self.received[what] = self.received.get(what, 0) + amount


class Source(Section, ABC):
    """Where the text comes from. A subclass is one kind; its field `kind` tells it apart in a recipe."""

    licence: Name
    """Of the text, for the model card: `MIT`, `CC-BY-4.0`, `public domain`, or a sentence."""
    documents: Documents = Documents()
    """How files and rows become documents."""

    @abstractmethod
    def read(self, bench: Bench) -> Iterator[Document]:
        """The documents, one by one and always in the same order.

        Raises RecipeError, DataError, or TransientError for a network that may come back.
        """

    def columns(self) -> set[str]:
        """What its documents have beside a text: `target`, `label`."""
        wanted = self.documents
        given = {"target": wanted.target_column, "label": wanted.label_column or wanted.label_pattern}
        return {name for name, where in given.items() if where is not None}

    def local_paths(self) -> list[str]:
        """Files and folders of the project that it reads, so that DVC must watch them; what is pinned has none."""
        return []

    @abstractmethod
    def title(self) -> str:
        """A word or two for tables: what is read, and which version of it."""

    def told(self) -> dict[str, Any]:
        """What the report says of the source: its settings, without those about documents."""
        return self.model_dump(mode="json", exclude={"documents"}, exclude_none=True)
