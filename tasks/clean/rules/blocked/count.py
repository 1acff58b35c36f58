"""Counts blocked words in a column of texts and finds texts with too many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.clean.rules.blocked.settings import BlockedWords
from tasks.clean.verdict import Verdict
from tasks.formats.utf8 import utf8

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REASON = "blocked_words"


@dataclass(frozen=True)
class Counts:
    """Counts per text [texts]; 0 for null."""

    blocked: "NDArray[np.int64]"
    words: "NDArray[np.int64]"
    """All words: runs of letters, marks, digits and `_`, and single characters in scripts without spaces."""


def count(column: "pa.Array", settings: BlockedWords) -> Counts:
    """Count blocked words and all words in each text of a column of strings.

    A pure function of each text; texts should be in NFC. One pass over the bytes, however many words are blocked; the
    first call of a process also builds the table and loads or compiles the search.
    """
    import numpy as np

    from tasks.clean.rules.blocked.characters import tables
    from tasks.clean.rules.blocked.search import count_rows
    from tasks.clean.rules.blocked.table import table_of

    found = Counts(np.zeros(len(column), np.int64), np.zeros(len(column), np.int64))
    count_rows(*utf8(column), tables(), table_of(settings.words), found.blocked, found.words)
    return found


def dropped(counts: Counts, settings: BlockedWords) -> Mapping[int, Verdict]:
    """Verdicts by row. The value is the count, or the fraction of words if `threshold_share` is set."""
    many = (counts.blocked > settings.threshold) & (counts.blocked > settings.threshold_share * counts.words)
    found = {}
    for row in many.nonzero()[0].tolist():
        value, threshold = str(counts.blocked[row]), str(settings.threshold)
        if settings.threshold_share:
            value, threshold = f"{counts.blocked[row] / max(counts.words[row], 1):.4f}", str(settings.threshold_share)
        found[row] = Verdict(REASON, value, threshold)
    return found
