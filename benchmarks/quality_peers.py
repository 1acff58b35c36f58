"""Pairs of equivalent settings of ours and filters of datatrove; `make bench-peers` installs datatrove."""

from collections.abc import Callable
from typing import Any

from tasks.clean.rules.quality.settings import C4, FineWeb, GopherQuality, GopherRepetition, QualitySettings

Keeps = Callable[[str], bool]


def datatrove() -> dict[str, tuple[QualitySettings, Keeps]]:
    """Name → our settings, and a function that says whether its filters keep a text. Raises ImportError."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    repetition, quality = GopherRepetitionFilter(), GopherQualityFilter()
    c4, fineweb = C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter()
    own = QualitySettings(gopher_repetition=GopherRepetition(), gopher_quality=GopherQuality(), fineweb=FineWeb())
    return {
        "gopher_repetition": (QualitySettings(gopher_repetition=GopherRepetition()), _keeps(repetition)),
        "gopher_quality": (QualitySettings(gopher_quality=GopherQuality()), _keeps(quality)),
        "c4": (QualitySettings(c4=C4(terminal_marks=None)), _keeps(c4)),
        "fineweb": (QualitySettings(fineweb=FineWeb()), _keeps(fineweb)),
        "gopher and fineweb": (own, _keeps(repetition, quality, fineweb)),
        "fineweb preset": (QualitySettings(preset="fineweb"), _keeps(repetition, quality, c4, fineweb)),
    }


def _keeps(*filters: Any) -> Keeps:
    """Whether all filters keep a text; text without words or lines makes them divide by zero and counts as dropped."""
    from datatrove.data import Document

    def keeps(text: str) -> bool:
        document = Document(text=text, id="")
        try:
            return all(one.filter(document) is True for one in filters)
        except ZeroDivisionError:
            return False

    return keeps
