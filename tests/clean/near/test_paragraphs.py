import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.near.paragraphs import SeenParagraphs, paragraphs_of, without
from tasks.clean.near.settings import ParagraphSettings
from tests.clean.near import reference
from tests.clean.near.reference import column

BREAKS = {"blank_line": r"\n{2,}|\n\Z", "line": r"\n+"}
texts_of_paragraphs = st.lists(
    st.lists(st.one_of(reference.text, reference.few_words, st.sampled_from(["", "\n", "\n\n\n"])), max_size=8).map(
        "\n\n".join
    ),
    max_size=6,
)


def pieces(text: str, separator: str) -> list[str]:
    """Paragraphs with the line feeds behind them."""
    ends = [found.end() for found in re.finditer(BREAKS[separator], text)]
    return [part for part in map(lambda a, b: text[a:b], [0, *ends], [*ends, len(text)]) if part]


def plain(texts: list[str], chosen: ParagraphSettings) -> list[str]:
    seen, kept = set[tuple[str, ...]](), []
    for text in texts:
        staying = []
        last = True
        for piece in pieces(text, chosen.separator):
            words = tuple(reference.words(piece))
            last = len(words) < chosen.min_words or words not in seen
            if last:
                staying.append(piece)
            if len(words) >= chosen.min_words:
                seen.add(words)
        kept.append("".join(staying) if last else "".join(staying).rstrip("\n"))
    return kept


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(texts_of_paragraphs, st.sampled_from(["blank_line", "line"]), st.integers(1, 3), st.integers(0, 6))
def test_paragraphs_that_were_there_before_go(texts: list, separator: str, least: int, cut: int) -> None:
    chosen = ParagraphSettings(separator=separator, min_words=least)
    seen = SeenParagraphs()
    kept = []
    for batch in (column(texts)[:cut], column(texts)[cut:]):
        paragraphs = paragraphs_of(batch, chosen)
        assert paragraphs.sizes.sum() == sum(len(text.encode()) for text in batch.to_pylist())
        result = without(batch, paragraphs, seen.first(paragraphs))
        result.validate(full=True)
        kept += result.to_pylist()
    assert kept == plain(texts, chosen)


NOTICE = "This notice is in every file."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{NOTICE}\n\nSomething new.", "Something new."),
        (f"Something new.\n\n{NOTICE}", "Something new."),
        (f"A\n\n{NOTICE.upper()}\n\n\nB\n", "A\n\nB\n"),
        (f"{NOTICE}\n", ""),
        (f"{NOTICE} Or not.", f"{NOTICE} Or not."),
        ("A\nB", "A\nB"),
    ],
)
def test_the_rest_of_a_text_stays_as_it_is(text: str, left: str) -> None:
    texts = column([NOTICE, text])
    paragraphs = paragraphs_of(texts, ParagraphSettings())
    assert without(texts, paragraphs, SeenParagraphs().first(paragraphs)).to_pylist() == [NOTICE, left]


@pytest.mark.parametrize(("least", "left"), [(6, ["", "a b c d e f"]), (7, ["a b c d e f", "a b c d e f"])])
def test_short_paragraphs_always_stay(least: int, left: list[str]) -> None:
    texts = column(["a b c d e f", "A, b, c, d, e, f!"])
    paragraphs = paragraphs_of(texts, ParagraphSettings(min_words=least))
    staying = SeenParagraphs().first(paragraphs)
    assert staying.tolist() == [True, least == 7]


def test_a_million_line_feeds_and_a_column_of_nothing() -> None:
    chosen = ParagraphSettings(separator="line", min_words=1)
    for texts in (column(["\n" * 1_000_000]), column(["a\n" * 300_000]), column([]), column([None, ""])):
        paragraphs = paragraphs_of(texts, chosen)
        assert len(paragraphs.counts) == len(texts)
        kept = without(texts, paragraphs, SeenParagraphs().first(paragraphs))
        assert kept.to_pylist() == ["a" if text and "a" in text else text or "" for text in texts.to_pylist()]
    assert np.array_equal(paragraphs.counts, [0, 0])
