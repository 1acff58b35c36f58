"""The most likely language of each text of a column, and verdicts on texts in the wrong language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.clean.rules.language.settings import LanguageSettings
from tasks.clean.verdict import Verdict, shown
from tasks.stage.errors import RecipeError
from tasks.stage.problems import nearest
from tasks.stage.settings import recipe_path

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

JUDGED, PIECES = 1000, 5
"""Maximum number of characters judged per text. Longer texts are sampled in this many pieces spread evenly, so that
their beginning does not decide alone."""


@dataclass(frozen=True)
class Identified:
    """The language of each text of a column."""

    labels: "NDArray[np.int32]"
    """Indices into `languages` [documents]; -1 for null."""
    scores: "NDArray[np.float64]"
    """Probability of that language [documents]."""
    wanted: "NDArray[np.float64]"
    """Probability of the wanted language [documents]; 0 for null, and if no language is wanted."""
    languages: tuple[str, ...]
    """Codes of ISO 639-1, or of 639-3 for languages without one."""


def identify(column: "pa.Array", wanted: str | None = None) -> Identified:
    """The most likely language of each text, and the probability of a wanted one; null has none.

    Judges up to JUDGED characters. Gives the same labels as fastText's own code, several times faster. Text in capitals
    is lower-cased first, since the model mistakes it for Japanese.
    """
    import numpy as np
    import pyarrow as pa

    from tasks.clean.rules.language.model import model, way_to
    from tasks.clean.rules.language.search import find_capitals, find_pieces, identify_texts
    from tasks.formats.utf8 import utf8

    found = model()
    column = column.cast(pa.large_string())
    way = np.empty((0, 2), np.int32)
    if wanted in found.languages:
        way = way_to(found.languages.index(wanted), found.tables)
    labels, scores, asked = np.empty(len(column), np.int32), np.empty(len(column)), np.empty(len(column))
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    data, offsets = utf8(column)
    starts, stops = np.empty((len(column), PIECES), np.int64), np.empty((len(column), PIECES), np.int64)
    find_pieces(data, offsets, JUDGED, starts, stops)
    identify_texts(data, starts, stops, valid, found.tables, way, labels, scores, asked)
    capitals = np.empty(len(column), np.int8)
    find_capitals(data, starts, stops, capitals)
    seen = {row: _seen(data, starts[row], stops[row]) for row in np.flatnonzero(valid & (capitals != 0)).tolist()}
    rows = [row for row, text in seen.items() if capitals[row] > 0 or text.isupper()]
    if rows:
        data, offsets = utf8(pa.array([seen[row].lower()[:JUDGED] for row in rows], pa.large_string()))
        starts, stops = offsets[:-1, None].copy(), offsets[1:, None].copy()
        small = np.empty(len(rows), np.int32), np.empty(len(rows)), np.empty(len(rows))
        identify_texts(data, starts, stops, np.ones(len(rows), bool), found.tables, way, *small)
        labels[rows], scores[rows], asked[rows] = small
    return Identified(labels, scores, asked, found.languages)


def other_language(column: "pa.Array", wanted: str, settings: LanguageSettings) -> Mapping[int, Verdict]:
    """`other_language` by row: the model is sure of another language, or the wanted one scores below `min_score`.

    Short texts are not judged.
    """
    import pyarrow.compute as pc

    judged = pc.if_else(pc.greater_equal(pc.utf8_length(column), settings.min_characters), column, None)
    found = identify(judged, wanted)
    other = (found.labels >= 0) & (found.scores >= settings.threshold)
    if wanted in found.languages:
        other &= found.labels != found.languages.index(wanted)
    verdicts = {
        row: Verdict(
            "other_language", f"{found.languages[found.labels[row]]} {found.scores[row]:.2f}", f"{settings.threshold:g}"
        )
        for row in other.nonzero()[0].tolist()
    }
    if (least := settings.min_score) is not None:
        unlikely = (found.labels >= 0) & (found.wanted < least) & ~other
        verdicts |= {
            row: Verdict("other_language", f"{wanted} {shown(float(found.wanted[row]), least, 2)}", f"{least:g}")
            for row in unlikely.nonzero()[0].tolist()
        }
    return verdicts


def require_languages(settings: LanguageSettings | None, recipe: str) -> None:
    """Raises RecipeError for a language code the model does not know."""
    if settings is None:
        return
    from tasks.clean.rules.language.model import model

    known = sorted(model().languages)
    for side, code in (("text", settings.text), ("target", settings.target)):
        if code is not None and code not in known:
            raise RecipeError(
                f"{recipe_path(recipe)}: clean.languages.{side}: {code!r} is not one of the {len(known)} languages "
                f"the model knows{nearest(code, known)}"
            )


def _seen(data: "NDArray[np.uint8]", starts: "NDArray[np.int64]", stops: "NDArray[np.int64]") -> str:
    """The judged pieces of a text."""
    pieces = zip(starts.tolist(), stops.tolist(), strict=True)
    return " ".join(data[start:stop].tobytes().decode() for start, stop in pieces if start < stop)
