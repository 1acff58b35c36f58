"""A recipe's quality rules on a column of texts: measure, rewrite, drop.

In:  a batch's texts in Arrow's layout, and the recipe's settings.
Out: the texts without the lines that C4 drops, and for each document why it is dropped, if it is.

A verdict depends only on the document and the settings. One core processes tens of megabytes per second. Memory is
linear in the batch: the rewritten texts, about 100 bytes per document, and scratch for the longest document (at most
about 20 bytes per byte, plus 100 per word). The first call on a machine compiles the kernels in a few seconds; after
that, a process loads them in under one. The kernels release the GIL.
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
"""Maximum bytes of a document: positions in it are 32-bit integers."""
UNBOUNDED = 2**62


@dataclass(frozen=True)
class Judged:
    """A column of texts after the rules."""

    texts: "pa.LargeStringArray"
    """Unchanged, or without the lines that C4 drops; a dropped document is as the rule saw it."""
    verdicts: Verdicts
    lines_dropped: Counter[str]
    """Lines dropped by C4's rules, by reason (`lines.LINE_RULES`), in documents that pass Gopher and C4."""


def judge(texts: "pa.LargeStringArray", settings: QualitySettings) -> Judged:
    """Apply the enabled rules in FineWeb's order; the first that a document fails drops it.

    Nulls are neither rewritten nor dropped. Raises ValueError for a document of 2 GiB or more.
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
        records = None  # measured before the rewrite
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
    """The measures (`documents.MEASURES`) of the chosen documents; zeros for all others.

    Measures not requested are zero too: `gopher` requests those that only Gopher's rules need, `repetition` its
    n-grams. The sections set stop words, bullets and short lines; without them, the published values apply.
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
    """Remove the lines that C4 drops from the chosen documents; the others stay unchanged.

    Returns the texts, the findings per document (`lines.FOUND`, zeros if not chosen), and the lines dropped by reason.
    """
    import numpy as np
    import pyarrow as pa

    from tasks.clean.rules.quality.lines import FOUND, LINE_RULES, LineOptions, rewrite_lines

    data, offsets, longest = _utf8(texts)
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
    rewrite_lines(data, offsets, longest, chosen, options, out, ends, found, dropped)
    rewritten = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]]))
    if texts.null_count:
        rewritten = pa.compute.if_else(texts.is_valid(), rewritten, None)
    return rewritten, found, Counter({rule: int(n) for rule, n in zip(LINE_RULES, dropped, strict=True) if n})


def phrases_sought(c4: C4) -> "Phrases":
    """Phrases for the kernel, without those of disabled rules."""
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


def _utf8(texts: "pa.LargeStringArray") -> tuple["NDArray[np.uint8]", "NDArray[np.int64]", int]:
    """As `utf8`, and the bytes of the longest document, at least 1; raises ValueError for 2 GiB or more."""
    import numpy as np

    data, offsets = utf8(texts)
    longest = int(np.diff(offsets).max(initial=1))
    if longest > LONGEST:
        raise ValueError(f"a document of {longest} bytes exceeds the limit of {LONGEST}")
    return data, offsets, longest
