"""Rewriting and measuring a column agrees with plain Python strings, text by text."""

from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.documents import clean_batch
from tasks.clean.rewrite import measured, rewrite
from tasks.clean.settings import CleanSettings
from tasks.clean.text import rewriting, rewritten
from tasks.formats.corpus import corpus_schema
from tests.clean.test_text import FORMS, NASTY, adversarial, garbled, runs

LINES = st.text("ab \t\n\n.é", max_size=30)


def agrees(texts: list[str | None], chosen: CleanSettings) -> None:
    changed = defaultdict[int, set[str]](set)
    column, sizes = rewrite(pa.array(texts, pa.large_string()), chosen, changed)
    expected = [(None, set()) if text is None else rewritten(text, rewriting(chosen)) for text in texts]
    assert [(text, changed[row]) for row, text in enumerate(column.to_pylist())] == expected
    assert sizes.characters.tolist() == [len(text or "") for text, _ in expected]
    assert sizes.words.tolist() == [len((text or "").split()) for text, _ in expected]
    assert sizes.there.tolist() == [text is not None for text in texts]


@given(st.lists(adversarial | runs | garbled | LINES | st.none(), max_size=6), st.sampled_from(FORMS))
def test_columns_are_rewritten_as_their_texts_are(texts: list[str | None], chosen: CleanSettings) -> None:
    agrees(texts, chosen)


def test_steps_are_counted_in_one_order_whatever_the_seed_of_hashes() -> None:
    row = {"id": "a", "group": "a", "text": "cafÃ©\r\ne\u0301\x00 \n\n\n\n\nb", "source": "s"}
    _, noted = clean_batch(pa.RecordBatch.from_pylist([row], schema=corpus_schema()), CleanSettings(), {})
    assert list(noted.rewritten) == sorted(noted.rewritten) and len(noted.rewritten) == 6


@pytest.mark.parametrize("chosen", FORMS[::5], ids=str)
def test_every_character_alone_and_behind_another_one(chosen: CleanSettings) -> None:
    characters = [chr(code) for code in (*range(0x3200), *range(0xA640, 0xABFF), *range(0xF900, 0x10000))]
    for form in ("{}", "a{}", "ᄀ{}b"):
        agrees([form.format(character) for character in characters], chosen)


@pytest.mark.parametrize(
    "keys", [{"trailing_blanks": "keep"}, {"control_characters": "keep"}, {"max_blank_lines": None}, {}], ids=str
)
def test_what_is_kept_is_kept(keys: dict) -> None:
    chosen = CleanSettings.model_validate(keys)
    agrees(["a \nb", "\na\n\n\n\n\nb\n", "a\x07b", "", None, "\n", " ", "a\tb ", *NASTY], chosen)


def test_most_texts_are_not_looked_at_by_python() -> None:
    plain = "Plain English, of 2 lines.\n\tAnd a tab."
    texts = [plain, "naïve café, “quoted” – and…", "Текст", "日本語のテキスト", "한국어"]
    _, asks = measured(pa.array(texts, pa.large_string()), CleanSettings())
    assert not asks.any()
