"""From measures to verdicts: which key of the settings bounds which measure, in the order in which they are asked.

In:  records of measures of documents, and a section of the settings. Out: the first rule that each document fails.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tasks.clean.rules.quality.settings import C4
from tasks.clean.verdict import Verdict
from tasks.clean.verdict import shown as told_apart
from tasks.stage.settings import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdicts: TypeAlias = list[Verdict | None]
"""Of each document why it is dropped, or None."""
Records: TypeAlias = "NDArray[np.void]"
"""Of each document a record of measures."""
Chosen: TypeAlias = "NDArray[np.bool_]"
"""Which documents are asked about: those that no rule has dropped yet."""


class Rule(NamedTuple):
    """A document is dropped where a measure is less than the key `min_…` says, or more than `max_…` does."""

    reason: str
    key: str
    measure: str
    place: int | None = None
    """Of a measure that is several."""


GOPHER_REPETITION = (
    Rule("gopher_duplicate_lines", "max_duplicate_lines", "duplicate_lines"),
    Rule("gopher_duplicate_paragraphs", "max_duplicate_paragraphs", "duplicate_paragraphs"),
    Rule("gopher_duplicate_line_characters", "max_duplicate_line_characters", "duplicate_line_characters"),
    Rule(
        "gopher_duplicate_paragraph_characters",
        "max_duplicate_paragraph_characters",
        "duplicate_paragraph_characters",
    ),
    *(
        Rule(f"gopher_top_{n}_gram", f"max_top_{n}_gram_characters", "top_gram_characters", place)
        for place, n in enumerate((2, 3, 4))
    ),
    *(
        Rule(f"gopher_duplicate_{n}_grams", f"max_duplicate_{n}_gram_characters", "duplicate_gram_characters", place)
        for place, n in enumerate((5, 6, 7, 8, 9, 10))
    ),
)
"""In the order of the paper's table A1."""

GOPHER_QUALITY = (
    Rule("gopher_too_few_words", "min_words", "words"),
    Rule("gopher_too_many_words", "max_words", "words"),
    Rule("gopher_short_words", "min_mean_word_length", "mean_word_length"),
    Rule("gopher_long_words", "max_mean_word_length", "mean_word_length"),
    Rule("gopher_hashes", "max_hashes_per_word", "hashes_per_word"),
    Rule("gopher_ellipses", "max_ellipses_per_word", "ellipses_per_word"),
    Rule("gopher_bullet_lines", "max_bullet_lines", "bullet_lines"),
    Rule("gopher_ellipsis_lines", "max_ellipsis_lines", "ellipsis_lines"),
    Rule("gopher_alphabetic_words", "min_alphabetic_words", "alphabetic_words"),
    Rule("gopher_stop_words", "min_stop_words", "stop_words"),
)
"""In the order of the paper's text."""

FINEWEB = (
    Rule("fineweb_punctuated_lines", "min_punctuated_lines", "punctuated_lines"),
    Rule("fineweb_short_lines", "max_short_lines", "short_lines"),
    Rule("fineweb_duplicate_lines", "max_duplicate_line_characters", "duplicate_characters_of_lines"),
    Rule("fineweb_newlines", "max_newlines_per_word", "newlines_per_word"),
)
"""In the order of FineWeb's code; the last is none of the paper's three."""


PHRASES = ("placeholder_phrases", "script_phrases", "code_phrases", "policy_phrases")
"""C4's, in the order in which they are asked."""


def drop(verdicts: Verdicts, rules: Sequence[Rule], section: Section, records: Records, left: Chosen) -> None:
    """Fill in the verdict of every document that fails one of the rules, the first of them, and take it from `left`."""
    import numpy as np

    for rule in rules:
        bound = getattr(section, rule.key)
        if bound is None:
            continue
        values = records[rule.measure] if rule.place is None else records[rule.measure][:, rule.place]
        fails = left & (values < bound if rule.key.startswith("min_") else values > bound)
        told = shown(bound, bound)
        for row, value in zip(np.flatnonzero(fails).tolist(), values[fails].tolist(), strict=True):
            verdicts[row] = Verdict(rule.reason, shown(value, bound), told)
        left &= ~fails


def phrases_of(c4: C4) -> list[tuple[str, str]]:
    """Every phrase that is sought, behind the key that it is in."""
    return [(key, phrase) for key in PHRASES for phrase in getattr(c4, key) or ()]


def drop_by_lines(verdicts: Verdicts, c4: C4, records: Records, left: Chosen) -> None:
    """The same by what C4's kernel found in the lines of the documents that are left (`lines.FOUND`).

    A phrase that drops a document is the value of its verdict.
    """
    import numpy as np

    phrases = phrases_of(c4)
    for row in np.flatnonzero(records["phrase"]).tolist():
        key, phrase = phrases[records["phrase"][row] - 1]
        verdicts[row] = Verdict(f"c4_{key.removesuffix('s')}", phrase, None)
        left[row] = False
    drop(verdicts, [Rule("c4_too_few_sentences", "min_sentences", "sentences")], c4, records, left)
    for row in np.flatnonzero(left & (records["lines"] == 0)).tolist():
        verdicts[row] = Verdict("c4_no_line_left", "0", None)
        left[row] = False


def shown(value: float, bound: float) -> str:
    """A whole number as it is, a share to four digits, or to as many more as tell it from its bound."""
    return str(int(value)) if value == int(value) else told_apart(value, bound, 4)
