import sys

import numpy as np
import pytest

from tasks.clean.rules.quality import characters
from tasks.clean.rules.quality.characters import BLOCK, SENTENCE_TERMINAL, classes
from tests.clean.rules.quality import reference

EVERYTHING = [chr(code) for code in range(sys.maxunicode + 1)]


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("SPACE", str.isspace),
        ("ALPHABETIC", str.isalpha),
        ("LETTER", reference.letter),
        ("UPPER", reference.capital),
        ("DIGIT", reference.digit),
        ("MARK", reference.mark),
        ("SYMBOL", reference.symbol),
        ("PUNCTUATION", reference.punctuation),
        ("TERMINAL", reference.TERMINAL.__contains__),
        ("HYPHEN", reference.HYPHENS.__contains__),
    ],
)
def test_every_character_has_the_class_that_unicode_says(name: str, holds) -> None:  # type: ignore[no-untyped-def]
    pages, blocks = classes()
    codes = np.arange(len(EVERYTHING))
    found = blocks[pages[codes >> 7].astype(np.int64) * BLOCK + (codes & 127)] & getattr(characters, name)
    expected = np.fromiter(map(holds, EVERYTHING), np.bool_)
    assert np.flatnonzero((found != 0) != expected).tolist() == []


def test_what_ends_a_sentence_is_the_property_of_unicode() -> None:
    regex = pytest.importorskip("regex")
    listed = set(regex.findall(r"\p{Sentence_Terminal}", "".join(EVERYTHING)))
    assert listed == reference.TERMINAL
    assert SENTENCE_TERMINAL.split() == sorted(SENTENCE_TERMINAL.split(), key=lambda part: int(part.split("-")[0], 16))


def test_the_tables_are_small() -> None:
    pages, blocks = classes()
    assert pages.nbytes + blocks.nbytes < 100_000
