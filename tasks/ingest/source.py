"""What every kind of source has in common: its settings, and how it hands over documents."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tasks.contract.errors import RecipeError
from tasks.contract.settings import Section


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compilable)]
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Documents(Section):
    """What a document is: a row of a table, a text file, or a part of a text file.

    split_at       text files: a document begins at a line in which this pattern is found; lines found one after the
                   other, with only blank ones between, begin one document together (the headings of an act and a scene)
    text_column    tables: the column with the text
    id_column      tables: the column with the id; without it, the path and the number of the row
    group_column   tables: the column with the group
    group_pattern  a pattern searched in the path of the file: its first group (or all of it) is the group.
                   With neither, the group of a text file is its name without suffixes, and each row is its own group
    """

    split_at: Pattern | None = None
    text_column: Name = "text"
    id_column: Name | None = None
    group_column: Name | None = None
    group_pattern: Pattern | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the stage's output; see `tasks.contract.corpus`."""

    id: str
    group: str
    text: str
    source: str
    problem: str | None = None


@dataclass
class Bench:
    """Where a source works: what it may write to, and what it counts."""

    recipe: Path
    scratch: Path
    """A folder that is removed with the stage's partial outputs."""
    received: dict[str, int] = field(default_factory=dict)

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

    @abstractmethod
    def read(self, bench: Bench) -> Iterator[Document]:
        """The documents, one by one and always in the same order.

        Raises RecipeError, DataError, or TransientError for a network that may come back.
        """

    def told(self) -> dict[str, Any]:
        """What the report says of the source: its settings, without those about documents."""
        return self.model_dump(mode="json", exclude={"documents"}, exclude_none=True)
