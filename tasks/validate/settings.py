"""The recipe's section `validate`: expectations by name, with their arguments.

validate:
  expectations:
    - expectation: expect_column_values_to_be_between   # or ExpectColumnValuesToBeBetween
      column: words
      min_value: 3
      mostly: 0.95
      severity: critical                                # or warning, info
"""

import re
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tasks.stage.settings import Section
from tasks.validate.catalogue import canonical_name, expectation_names, signature

COLUMNS = {
    "id": "stable name of the document",
    "group": "what a split must not tear apart",
    "text": "the document itself; keeps the whole corpus in memory, so rather use a statistic",
    "target": "the text that belongs to it; null where there is none; in memory like text, so rather use a statistic",
    "label": "its class; null where there is none",
    "source": "where the document stands",
    "characters": "Unicode code points",
    "bytes": "of its UTF-8",
    "words": "runs of anything but white space",
    "lines": "line feeds and one",
    "longest_line": "characters in the longest line",
    "letter_share": "letters of any script among the characters, 0 to 1",
    "control_characters": "C0 and C1 control characters other than tab and line ends, NUL among them",
    "replacement_characters": "U+FFFD, which stands where decoding went wrong",
    "target_characters": "of the target; null where there is none, and so for the next two",
    "target_words": "of the target",
    "length_ratio": "characters of the target per character of the text",
}
"""What expectations can be about: columns of the corpus, and statistics of each document's text. Most expectations
pass over nulls; expect_column_values_to_not_be_null asks for them."""


class ExpectationSettings(Section):
    """One expectation. All keys but `expectation` and `severity` are its arguments."""

    model_config = ConfigDict(extra="allow")

    expectation: str
    """Any built-in expectation of Great Expectations, in either spelling."""
    severity: Literal["critical", "warning", "info"] = "critical"
    """What follows when it is not met: the stage stops, a warning, a line in the report."""

    @property
    def name(self) -> str:
        """Its canonical name, `expect_column_values_to_not_be_null`."""
        return canonical_name(self.expectation) or self.expectation

    @property
    def arguments(self) -> dict[str, Any]:
        """As the recipe gives them."""
        return dict(self.model_extra or {})

    @property
    def columns(self) -> set[str]:
        """Columns that it may look at: those that any of its arguments names."""
        return {name for name in COLUMNS if name in set(re.findall(r"\w+", repr(self.arguments)))}

    @property
    def about_the_table(self) -> bool:
        """Whether it is about which columns there are."""
        return self.name.startswith("expect_table_column") or self.name == "expect_column_to_exist"

    @model_validator(mode="after")
    def _known(self) -> Self:
        name = canonical_name(self.expectation)
        if name is None:
            raise ValueError(f"no expectation {self.expectation!r}{_nearest(self.expectation, expectation_names())}")
        takes = signature(name)
        if takes.sql_only:
            raise ValueError(f"{name} needs a table of a database; Gristmill's documents are a frame")
        if unknown := sorted(set(self.arguments) - takes.arguments):
            raise ValueError(
                f"{name} has no argument {unknown[0]!r}{_nearest(unknown[0], takes.arguments)}"
                f" (it takes {', '.join(sorted(takes.arguments))})"
            )
        if missing := sorted(takes.required - set(self.arguments)):
            raise ValueError(f"{name} needs the argument {', '.join(missing)}")
        for key in ("column", "column_A", "column_B", "column_list"):
            given = self.arguments.get(key, [])
            for column in given if isinstance(given, list) else [given]:
                if name != "expect_column_to_exist" and column not in COLUMNS:
                    raise ValueError(
                        f"{key}: no column {column!r}{_nearest(str(column), COLUMNS)} (there are: {', '.join(COLUMNS)})"
                    )
        return self


def _nearest(word: str, known: Any) -> str:
    near = get_close_matches(word, sorted(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _default(**values: Any) -> ExpectationSettings:
    return ExpectationSettings.model_validate(values)


def default_expectations() -> tuple[ExpectationSettings, ...]:
    """What any corpus of text should meet: a few odd documents are put aside, many of them stop the stage."""
    between = "expect_column_values_to_be_between"
    return (
        _default(expectation="expect_table_row_count_to_be_between", min_value=1),
        _default(expectation="expect_column_values_to_be_unique", column="id"),
        _default(expectation=between, column="words", min_value=1, mostly=0.95),
        _default(expectation=between, column="replacement_characters", max_value=0, mostly=0.95, severity="warning"),
        _default(expectation=between, column="characters", max_value=10_000_000, mostly=0.99, severity="warning"),
    )


class ValidateSettings(Section):
    """What is expected of the documents."""

    expectations: tuple[ExpectationSettings, ...] = Field(default_factory=default_expectations)
    """Defaults for text where the recipe has none; an empty list expects nothing."""
    max_problem_share: float = Field(default=0.05, ge=0, le=1)
    """Documents with a problem in the source (bytes that are not UTF-8, a missing column) are put aside before any
    expectation looks; more than this share of them stops the stage."""
