"""From measures to verdicts: which settings key bounds which measure, in the order in which the rules apply.

In:  records of measures, and a section of the settings. Out: the first rule that each document fails.
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
"""Per document, why it is dropped, or None."""
Records: TypeAlias = "NDArray[np.void]"
"""Per document, a record of measures."""
Chosen: TypeAlias = "NDArray[np.bool_]"
"""Documents to judge: those that no rule has dropped yet."""


class Rule(NamedTuple):
    """Drops a document whose measure is below the value of a `min_…` key, or above that of a `max_…` key."""

    reason: str
    key: str
    measure: str
    place: int | None = None
    """Index into a measure with several values."""


GOPHER_REPETITION = (
    *(
        Rule(f"gopher_duplicate_{what}", f"max_duplicate_{what}", f"duplicate_{what}")
        for what in ("lines", "paragraphs", "line_characters", "paragraph_characters")
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
"""In the order of FineWeb's code; the last is not among the paper's three."""


PHRASES = ("placeholder_phrases", "script_phrases", "code_phrases", "policy_phrases")
"""C4's phrase keys, in the order of the checks."""


def drop(verdicts: Verdicts, rules: Sequence[Rule], section: Section, records: Records, left: Chosen) -> None:
    """Set the verdict of each document that fails a rule to the first it fails, and remove it from `left`."""
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
    """All phrases to search for, each with its key."""
    return [(key, phrase) for key in PHRASES for phrase in getattr(c4, key) or ()]


def drop_by_lines(verdicts: Verdicts, c4: C4, records: Records, left: Chosen) -> None:
    """Like `drop`, from the findings of C4's kernel in the lines of the remaining documents (`lines.FOUND`).

    If a phrase drops a document, it is the value of the verdict.
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
    """Format an integer in full, a share to four digits, or to as many as distinguish it from its bound."""
    return str(int(value)) if value == int(value) else told_apart(value, bound, 4)
