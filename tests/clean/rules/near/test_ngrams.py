import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.near.ngrams import hash_texts, ngrams_of
from tests.clean.rules.near import reference
from tests.clean.rules.near.reference import words_in


@settings(max_examples=300)
@given(reference.texts, st.integers(1, 15))
def test_ngrams_are_equal_where_their_words_are(texts: list[str], n: int) -> None:
    found = ngrams_of(words_in(texts), n)
    expected = [reference.ngrams(text, n) for text in texts]
    assert found.counts.tolist() == list(map(len, expected))
    assert not (found.hashes == 0).any()
    flat = [ngram for ngrams in expected for ngram in ngrams]
    assert len(set(zip(found.hashes.tolist(), flat, strict=True))) == len(set(flat)) == len(set(found.hashes.tolist()))


def test_a_short_text_is_no_ngram_of_a_longer_one_and_order_counts() -> None:
    found = ngrams_of(words_in(["a b", "a b c d", "b a"]), 3)
    assert found.counts.tolist() == [1, 2, 1]
    assert len(set(found.hashes.tolist())) == 4
    assert ngrams_of(words_in(["a b"]), 2).hashes[0] == ngrams_of(words_in(["x a b"]), 2).hashes[1]


@settings(max_examples=200)
@given(reference.texts)
def test_hashes_of_texts_are_equal_where_all_their_words_are(texts: list[str]) -> None:
    words = words_in(texts)
    found = hash_texts(words.hashes, words.counts).tolist()
    expected = [tuple(reference.words(text)) for text in texts]
    assert len(set(zip(found, expected, strict=True))) == len(set(expected)) == len(set(found))
    assert 0 not in found


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_of_a_hash_is_set_in_half_of_them(bit: int) -> None:
    hashes = ngrams_of(words_in([" ".join(map(str, range(20_000)))]), 5).hashes
    assert np.mean(hashes >> np.uint64(bit) & np.uint64(1)) == pytest.approx(0.5, abs=0.02)
