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
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tasks.formats.corpus import Column
from tasks.stage.problems import nearest
from tasks.stage.settings import Section
from tasks.validate.catalogue import canonical_name, expectation_names, signature

COLUMNS = {
    "id": "stable name of the document",
    "group": "documents that a split keeps together",
    "text": "the document itself; keeps the whole corpus in memory, so prefer a statistic",
    "target": "the paired text, or null; keeps all targets in memory, so prefer a statistic",
    "label": "the class, or null",
    "source": "where the document comes from",
    "characters": "Unicode code points",
    "bytes": "bytes in UTF-8",
    "words": "runs of non-whitespace characters",
    "lines": "line feeds plus one",
    "longest_line": "characters in the longest line",
    "letter_share": "letters of any script per character, 0 to 1",
    "control_characters": "C0 and C1 control characters, including NUL, except tab and line endings",
    "replacement_characters": "U+FFFD, the mark of failed decoding",
    "target_characters": "characters of the target, or null",
    "target_words": "words of the target, or null",
    "length_ratio": "characters of the target per character of the text, or null",
    "turns": "turns of the conversation, the system prompt included, or null",
    "answers": "turns of the assistant, or null",
    "rejected_words": "words of the rejected answer, or null",
}
"""Columns for expectations: those of the corpus, and statistics of each document's text. Most expectations skip nulls;
expect_column_values_to_not_be_null counts them."""

OF_COLUMN = {
    "target": ("target", "target_characters", "target_words", "length_ratio"),
    "label": ("label",),
    "messages": ("turns", "answers"),
    "rejected": ("rejected_words",),
}
"""By a column that a source may lack, those that are null without it."""
NAMES = ("column", "column_A", "column_B", "column_list")
"""Arguments that name columns."""


class ExpectationSettings(Section):
    """One expectation. All keys but `expectation`, `severity` and `source` are its arguments."""

    model_config = ConfigDict(extra="allow")

    expectation: str
    """Any built-in expectation of Great Expectations, in either spelling."""
    severity: Literal["critical", "warning", "info"] = "critical"
    """Effect if it is not met: critical stops the stage, warning prints a warning, info only adds it to the report."""
    source: str | None = Field(None, exclude_if=lambda name: name is None)
    """Mixtures: the name of the source whose documents it is about. Default: all documents."""

    @property
    def name(self) -> str:
        """The canonical name, such as `expect_column_values_to_not_be_null`."""
        return canonical_name(self.expectation) or self.expectation

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments in the recipe."""
        return dict(self.model_extra or {})

    @property
    def columns(self) -> set[str]:
        """The columns it may use: those named in any of its arguments."""
        return {name for name in COLUMNS if name in set(re.findall(r"\w+", repr(self.arguments)))}

    def judges(self, column: str) -> bool:
        """Whether it judges a column, alone, with others or in its condition."""
        named = [self.arguments.get(key) for key in NAMES]
        condition = str(self.arguments.get("row_condition", ""))
        named.append(re.sub(r"""col\(["'](\w+)["']\)|(["']).*?\2""", r"\1", condition))  # without texts in quotes
        return not set(OF_COLUMN[column]).isdisjoint(re.findall(r"\w+", repr(named)))

    @property
    def about_the_table(self) -> bool:
        """Whether it checks which columns exist."""
        return self.name.startswith("expect_table_column") or self.name == "expect_column_to_exist"

    @model_validator(mode="after")
    def _known(self) -> Self:
        name = canonical_name(self.expectation)
        if name is None:
            raise ValueError(
                f"unknown expectation {self.expectation!r}{nearest(self.expectation, expectation_names())}"
            )
        takes = signature(name)
        if takes.sql_only:
            raise ValueError(f"{name} works on database tables only; use another expectation")
        if unknown := sorted(set(self.arguments) - takes.arguments):
            raise ValueError(
                f"{name} has no argument {unknown[0]!r}{nearest(unknown[0], takes.arguments)}"
                f" (available: {', '.join(sorted(takes.arguments))})"
            )
        if missing := sorted(takes.required - set(self.arguments)):
            raise ValueError(f"{name} requires the argument {', '.join(missing)}")
        for key in NAMES:
            given = self.arguments.get(key, [])
            for column in given if isinstance(given, list) else [given]:
                if name != "expect_column_to_exist" and column not in COLUMNS:
                    raise ValueError(
                        f"{key}: no column {column!r}{nearest(str(column), COLUMNS)} (available: {', '.join(COLUMNS)})"
                    )
        return self


def _default(**values: Any) -> ExpectationSettings:
    return ExpectationSettings.model_validate(values)


def default_expectations() -> tuple[ExpectationSettings, ...]:
    """Expectations for any text corpus: a few odd documents are quarantined, many stop the stage."""
    between = "expect_column_values_to_be_between"
    return (
        _default(expectation="expect_table_row_count_to_be_between", min_value=1),
        _default(expectation="expect_column_values_to_be_unique", column="id"),
        _default(expectation=between, column="words", min_value=1, mostly=0.95),
        _default(expectation=between, column="replacement_characters", max_value=0, mostly=0.95, severity="warning"),
        _default(expectation=between, column="characters", max_value=10_000_000, mostly=0.99, severity="warning"),
    )


class ValidateSettings(Section):
    """Expectations for the documents."""

    expectations: tuple[ExpectationSettings, ...] = Field(default_factory=default_expectations)
    """Default: a few checks that suit any text; an empty list checks nothing."""
    max_problem_share: float = Field(default=0.05, ge=0, le=1)
    """Documents with a problem in the source (bytes that are not UTF-8, a missing value) are quarantined before any
    expectation runs; a larger share of them stops the stage."""

    def keys_about(self, column: Column) -> list[str]:
        """Expectations about a column that the corpus lacks: nulls are skipped, so they would hold for any corpus."""
        return [f"expectations[{index}]" for index, one in enumerate(self.expectations) if one.judges(column)]
