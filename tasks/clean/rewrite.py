"""Normalizes (`text`) and measures (`measure`) columns; Python only touches texts that may need rewriting."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.clean.rules.length import Lengths, length_rules
from tasks.clean.settings import CleanSettings
from tasks.clean.text import rewriting, rewritten, rewritten_characters
from tasks.clean.verdict import Batch, Sizes, Verdict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def rewrite(
    column: "pa.LargeStringArray", settings: CleanSettings, changed: defaultdict[int, set[str]]
) -> tuple["pa.LargeStringArray", Sizes]:
    """Apply all steps to a column (nulls stay null). Returns the texts and their sizes.

    Adds to `changed`, by row, the names of the steps that changed its text.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes, asks = measured(column, settings)
    rows = np.flatnonzero(asks & sizes.there)
    if not len(rows):
        return column, sizes
    steps = rewriting(settings)
    texts = column.take(pa.array(rows)).to_pylist()
    written = [rewritten(text, steps) for text in texts]
    for row, (_, names) in zip(rows.tolist(), written, strict=True):
        if names:
            changed[row] |= names
    again = pa.array([text for text, _ in written], pa.large_string())
    now, _ = measured(again, settings)
    sizes.characters[rows], sizes.words[rows], sizes.lengths[rows] = now.characters, now.words, now.lengths
    return pc.replace_with_mask(column, pa.array(asks & sizes.there), again), sizes


def measured(column: "pa.LargeStringArray", settings: CleanSettings) -> "tuple[Sizes, NDArray[np.bool_]]":
    """Sizes of the texts of a column, and which may need rewriting [documents]."""
    import numpy as np

    from tasks.clean.measure import character_kinds, measure_texts
    from tasks.formats.utf8 import utf8

    there = column.is_valid().to_numpy(zero_copy_only=False)
    characters, words = np.zeros(len(column), np.int64), np.zeros(len(column), np.int64)
    asks = np.zeros(len(column), np.bool_)
    kinds = character_kinds(settings.unicode, rewritten_characters(settings), settings.mojibake == "repair")
    blank_lines = -1 if settings.max_blank_lines is None else settings.max_blank_lines
    measure_texts(*utf8(column), kinds, settings.trailing_blanks == "keep", blank_lines, characters, words, asks)
    lengths = words
    if settings.max_length_ratio is not None:
        from tasks.clean.rules.scripts import lengths_in_words

        lengths = lengths_in_words(column)
    return Sizes(characters, words, lengths, there), asks


def too_short_now(
    texts: "pa.LargeStringArray", changed: "pa.BooleanArray", bounds: Lengths, settings: CleanSettings
) -> Mapping[int, Verdict]:
    """Recheck the length bounds of texts or targets that rules have changed; returns verdicts by row."""
    import numpy as np
    import pyarrow.compute as pc

    rows = pc.indices_nonzero(changed).to_pylist()
    sizes, _ = measured(texts.filter(changed), settings)
    nothing = np.zeros(len(rows), np.int64)
    none = Sizes(nothing, nothing, nothing, np.zeros(len(rows), np.bool_))
    batch = Batch(sizes, none, none.there, [None] * len(rows))
    found: dict[int, Verdict] = {}
    for rule in length_rules(bounds, "text"):
        dropped, why = rule(batch)
        for place in np.flatnonzero(dropped).tolist():
            found.setdefault(rows[place], why(place))
    return found
