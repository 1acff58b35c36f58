"""The rules of a recipe on a column of texts: what is measured, rewritten and dropped.

In:  texts of a batch as Arrow has them, and the recipe's settings.
Out: the texts without the lines that C4 drops, and why each document is dropped, if it is.

A verdict depends on the document and the settings alone. One core takes some tens of megabytes a second; memory is
linear in the batch: the rewritten texts, about 100 bytes a document, and scratch for its longest document, of about 20
bytes a byte at the most and some 100 a word. The first call on a machine compiles the kernels, for some seconds; every
process loads them in less than one. The kernels run without the interpreter's lock.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.clean.rules.quality.rules import (
    FINEWEB,
    GOPHER_QUALITY,
    GOPHER_REPETITION,
    PHRASES,
    Chosen,
    Records,
    Verdicts,
    drop,
    drop_by_lines,
    phrases_of,
)
from tasks.clean.rules.quality.settings import C4, FineWeb, GopherQuality, QualitySettings
from tasks.formats.utf8 import utf8

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tasks.clean.rules.quality.lines import Phrases

LONGEST = 2**31 - 1
"""Bytes of a document: places in it are numbers of 32 bits."""
UNBOUNDED = 2**62


@dataclass(frozen=True)
class Judged:
    """A column of texts after the rules."""

    texts: "pa.LargeStringArray"
    """As they were, or without the lines that C4 drops; what a rule drops is as the rule saw it."""
    verdicts: Verdicts
    lines_dropped: Counter[str]
    """Lines that C4's rules dropped, by the reason (`lines.LINE_RULES`), of documents that C4 and Gopher let stay."""


def judge(texts: "pa.LargeStringArray", settings: QualitySettings) -> Judged:
    """Ask the rules that are on, in FineWeb's order; the first that a document fails drops it.

    A null is neither rewritten nor dropped. Raises ValueError for a document of 2 GiB or more.
    """
    import numpy as np

    verdicts: Verdicts = [None] * len(texts)
    left = np.array(texts.is_valid(), bool)
    lines_dropped: Counter[str] = Counter()
    quality, repetition, fineweb = settings.gopher_quality, settings.gopher_repetition, settings.fineweb
    records = None
    if repetition is not None or quality is not None:
        records = measure(texts, quality, fineweb, left, gopher=True, repetition=repetition is not None)
        if repetition is not None:
            drop(verdicts, GOPHER_REPETITION, repetition, records, left)
        if quality is not None:
            drop(verdicts, GOPHER_QUALITY, quality, records, left)
    if settings.c4 is not None:
        texts, found, lines_dropped = rewrite(texts, settings.c4, left)
        drop_by_lines(verdicts, settings.c4, found, left)
        records = None  # they are of the texts as they were
    if fineweb is not None:
        if records is None:
            records = measure(texts, quality, fineweb, left, gopher=False, repetition=False)
        drop(verdicts, FINEWEB, fineweb, records, left)
    return Judged(texts, verdicts, lines_dropped)


def measure(
    texts: "pa.LargeStringArray",
    quality: GopherQuality | None,
    fineweb: FineWeb | None,
    chosen: Chosen,
    gopher: bool,
    repetition: bool,
) -> Records:
    """The measures (`documents.MEASURES`) of the chosen documents; zeros for the others.

    And for what is not asked for: `gopher`, what only Gopher's rules need, and `repetition` among it, n-grams. The
    sections say what stop words, bullets and short lines are; without them, what is published.
    """
    import numpy as np

    from tasks.clean.rules.quality.documents import MEASURES, Options, measure_documents
    from tasks.clean.rules.quality.word_bytes import key_of_word

    quality, fineweb = quality or GopherQuality(), fineweb or FineWeb()
    stop_words = [word.encode() for word in dict.fromkeys(quality.stop_words)]
    options = Options(
        gopher,
        repetition,
        np.array([ord(bullet) for bullet in quality.bullets], np.int64),
        np.frombuffer(b"".join(stop_words), np.uint8),
        np.cumsum([0, *map(len, stop_words)], dtype=np.int64)[1:].copy(),
        np.array([key_of_word(word) for word in stop_words], np.uint64),
        fineweb.short_line_characters,
    )
    records = np.zeros(len(texts), MEASURES)
    measure_documents(*_utf8(texts), chosen, options, records)
    return records


def rewrite(
    texts: "pa.LargeStringArray", c4: C4, chosen: Chosen
) -> tuple["pa.LargeStringArray", Records, Counter[str]]:
    """The chosen documents without the lines that C4 drops, and the others as they are.

    What was found in each (`lines.FOUND`), zeros for those not chosen; and the lines dropped by reason.
    """
    import numpy as np
    import pyarrow as pa

    from tasks.clean.rules.quality.lines import FOUND, LINE_RULES, LineOptions, rewrite_lines

    data, offsets = _utf8(texts)
    out, ends = np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.empty(len(offsets), np.int64)
    found, dropped = np.zeros(len(texts), FOUND), np.zeros(len(LINE_RULES), np.int64)
    options = LineOptions(
        c4.terminal_marks is not None,
        np.array([ord(mark) for mark in c4.terminal_marks or ()], np.int64),
        c4.min_words_per_line or 0,
        c4.max_word_length or UNBOUNDED,
        c4.citations == "remove",
        phrases_sought(c4),
        c4.min_sentences or 0,
    )
    rewrite_lines(data, offsets, chosen, options, out, ends, found, dropped)
    rewritten = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]]))
    if texts.null_count:
        rewritten = pa.compute.if_else(texts.is_valid(), rewritten, None)
    return rewritten, found, Counter({rule: int(n) for rule, n in zip(LINE_RULES, dropped, strict=True) if n})


def phrases_sought(c4: C4) -> "Phrases":
    """Phrases for the kernel; none of a rule that is off."""
    import numpy as np

    from tasks.clean.rules.quality.lines import CODE, PLACEHOLDER, POLICY, SCRIPT, Phrases

    kind_of = dict(zip(PHRASES, (PLACEHOLDER, SCRIPT, CODE, POLICY), strict=True))
    listed = [(kind_of[key], phrase.encode()) for key, phrase in phrases_of(c4)]
    first = np.zeros(256, np.uint8)
    for kind, phrase in listed:
        first[[phrase[0], phrase[:1].upper()[0]]] |= kind
    return Phrases(
        np.frombuffer(b"".join(phrase for _, phrase in listed), np.uint8),
        np.cumsum([len(phrase) for _, phrase in listed], dtype=np.int64),
        np.array([kind for kind, _ in listed], np.uint8),
        first,
    )


def _utf8(texts: "pa.LargeStringArray") -> tuple["NDArray[np.uint8]", "NDArray[np.int64]"]:
    """As `utf8`. Raises ValueError for a document of 2 GiB or more."""
    import numpy as np

    data, offsets = utf8(texts)
    if (longest := int(np.diff(offsets).max(initial=0))) > LONGEST:
        raise ValueError(f"a document of {longest} bytes; they may have {LONGEST}")
    return data, offsets
