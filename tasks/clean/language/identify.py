"""The likeliest language of each text of a column, and verdicts on those in another one than they should be."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tasks.clean.language.settings import LanguageSettings
from tasks.clean.rules.verdict import Verdict
from tasks.contract.errors import RecipeError
from tasks.contract.settings import recipe_path

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

JUDGED = 1000
"""Characters of a text that are looked at; more make no difference but in time."""


@dataclass(frozen=True)
class Identified:
    """What each text of a column is in."""

    labels: "NDArray[np.int32]"
    """Places in `languages` [documents]; -1 for a null."""
    scores: "NDArray[np.float64]"
    """The probability of that [documents]."""
    languages: tuple[str, ...]
    """Codes of ISO 639-1, or of 639-3 for languages without one."""


def identify(column: "pa.Array") -> Identified:
    """The likeliest language of each text; null has none. Looks at the first JUDGED characters.

    The very labels of fastText's own code, several times as fast. What is written in capitals is looked at in small
    letters: the model takes it for Japanese.
    """
    import numpy as np
    import pyarrow as pa

    from tasks.clean.language.model import model
    from tasks.clean.language.search import find_capitals, identify_texts
    from tasks.contract.utf8 import utf8

    found = model()
    column = column.cast(pa.large_string())
    labels, scores = np.empty(len(column), np.int32), np.empty(len(column), np.float64)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    data, offsets = utf8(column)
    identify_texts(data, offsets, valid, JUDGED, found.tables, labels, scores)
    capitals = np.empty(len(column), np.int8)
    find_capitals(data, offsets, JUDGED, capitals)
    rows = [
        row for row in np.flatnonzero(valid & (capitals != 0)).tolist() if capitals[row] > 0 or _shouts(column[row])
    ]
    if rows:
        texts = pa.array([column[row].as_py()[:JUDGED].lower() for row in rows], pa.large_string())
        again, certain = np.empty(len(rows), np.int32), np.empty(len(rows), np.float64)
        identify_texts(*utf8(texts), np.ones(len(rows), bool), JUDGED, found.tables, again, certain)
        labels[rows], scores[rows] = again, certain
    return Identified(labels, scores, found.languages)


def other_language(column: "pa.Array", wanted: str, settings: LanguageSettings) -> Mapping[int, Verdict]:
    """`other_language` by row, where the model is sure of another one; short texts are not judged."""
    import pyarrow.compute as pc

    judged = pc.if_else(pc.greater_equal(pc.utf8_length(column), settings.min_characters), column, None)
    found = identify(judged)
    other = (found.labels >= 0) & (found.scores >= settings.threshold)
    if wanted in found.languages:
        other &= found.labels != found.languages.index(wanted)
    return {
        row: Verdict(
            "other_language", f"{found.languages[found.labels[row]]} {found.scores[row]:.2f}", f"{settings.threshold:g}"
        )
        for row in other.nonzero()[0].tolist()
    }


def require_languages(settings: LanguageSettings | None, recipe: str) -> None:
    """Raises RecipeError for a code that the model does not know: no text would ever be in that language."""
    if settings is None:
        return
    from tasks.clean.language.model import model

    known = sorted(model().languages)
    for side, code in (("text", settings.text), ("target", settings.target)):
        if code is not None and code not in known:
            near = ", ".join(get_close_matches(code, known))
            raise RecipeError(
                f"{recipe_path(recipe)}: clean.languages.{side}: {code!r} is none of the {len(known)} languages that "
                "are told apart" + (f"; near to it are {near}" if near else "")
            )


def _shouts(text: "pa.LargeStringScalar") -> bool:
    """Are all letters capitals, in any script that has them?"""
    return bool(text.as_py()[:JUDGED].isupper())
