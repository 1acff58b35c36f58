"""Blocked words: matches, the compiled count against a plain one, and drops."""

import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.clean.rules.blocked.characters import BLANK, IN_WORD, SIGN, folded, kinds_of
from tasks.clean.rules.blocked.count import Counts, count, dropped
from tasks.clean.rules.blocked.settings import BlockedWords
from tasks.clean.verdict import Verdict

quick = settings(max_examples=600)


def reference(text: str, words: tuple[str, ...]) -> tuple[int, int]:
    """Counts blocked words and all words, trying every position character by character."""
    phrases = [unicodedata.normalize("NFC", word) for word in words]
    blocked, place = 0, 0
    while place < len(text):
        ends = [end for phrase in phrases if (end := phrase_at(phrase, text, place)) > place]
        blocked += bool(ends)
        place = max(ends, default=place + 1)
    kinds = kinds_of(text).tolist()
    return blocked, sum(apart(text, place) and kind not in (BLANK, SIGN) for place, kind in enumerate(kinds))


def phrase_at(phrase: str, text: str, place: int) -> int:
    """The end of a phrase that begins at a position; -1 if it does not match."""
    if not apart(text, place):
        return -1
    for number, part in enumerate(phrase.split()):
        blanks = 0
        while number and place + blanks < len(text) and text[place + blanks].isspace():
            blanks += 1
        if number and not blanks:
            return -1
        place += blanks
        there = "".join(map(folded, text[place : place + len(part)]))
        if there != "".join(map(folded, part)):
            return -1
        place += len(part)
        if not apart(text, place):
            return -1
    return place


def apart(text: str, place: int) -> bool:
    """Whether no word spans this position."""
    beside = kinds_of(text[max(0, place - 1) : place + 1]).tolist()
    return place in (0, len(text)) or beside != [IN_WORD, IN_WORD]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("An ass is in no class, ASS!", ["ass"], 2),
        ("new york, New\n  York; newyork, new-york", ["New York"], 2),
        ("C++ is not c ++ nor c+++", ["c++"], 2),
        ("$hit and @$$ here, 🖕 there", ["$hit", "@$$", "🖕"], 3),
        ("他很坏蛋啊", ["坏蛋"], 1),
        ("Müll, MÜLL, Mull", ["müll"], 2),
        ("ΣΊΣΥΦΟΣ und σίσυφος", ["Σίσυφος"], 2),
        ("snake_case snake", ["snake"], 1),
        ("a b c d", ["a b", "a b c", "c d"], 1),
        ("a b c", ["a b d", "b c"], 1),
        ("", ["a"], 0),
        ("don't", ["don"], 1),
        ("m\u00fcll", ["mu\u0308ll"], 1),
    ],
)
def test_what_is_found(text: str, words: list[str], expected: int) -> None:
    assert count(pa.array([text]), BlockedWords(words=tuple(words))).blocked.tolist() == [expected]


ALPHABET = "abAB_1 \n\u00a0'-+éÉ\u0301ßΣσς坏蛋กٱİi🖕\U00020000\u200b"
few = st.text(st.sampled_from(ALPHABET), max_size=14)
words = st.lists(st.text(st.sampled_from(ALPHABET), min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=6)


@quick
@given(few, words.map(tuple))
@example("a a a b", ("a a b", "a"))
@example("ab", ("a",))
def test_the_count_is_the_plain_one(text: str, words: tuple[str, ...]) -> None:
    found = count(pa.array([text]), BlockedWords(words=words))
    assert (int(found.blocked[0]), int(found.words[0])) == reference(text, words)


@quick
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_every_text_has_its_own_words(text: str) -> None:
    found = count(pa.array([text]), BlockedWords(words=("a", *text.split()[:3])))
    assert (int(found.blocked[0]), int(found.words[0])) == reference(text, ("a", *text.split()[:3]))


def test_other_texts_and_nulls_make_no_difference() -> None:
    texts = ["one bad", None, "bad bad", "", "nothing", "a bad one"]
    listed = BlockedWords(words=("bad",))
    whole = count(pa.array(texts), listed)
    assert whole.blocked.tolist() == [1, 0, 2, 0, 0, 1]
    assert whole.words.tolist() == [2, 0, 2, 0, 1, 3]
    assert count(pa.array(texts).slice(2, 3), listed).blocked.tolist() == [2, 0, 0]


def test_a_document_is_dropped_above_both_thresholds() -> None:
    counts = Counts(np.array([0, 2, 3, 3, 4]), np.array([9, 10, 100, 30, 0]))
    some = BlockedWords(words=("x",), threshold=2)
    assert dropped(counts, some) == {
        2: Verdict("blocked_words", "3", "2"),
        3: Verdict("blocked_words", "3", "2"),
        4: Verdict("blocked_words", "4", "2"),
    }
    share = BlockedWords(words=("x",), threshold=2, threshold_share=0.05)
    assert dropped(counts, share)[3] == Verdict("blocked_words", "0.1000", "0.05")
    assert set(dropped(counts, share)) == {3, 4}
    assert set(dropped(counts, BlockedWords(words=("x",), threshold_share=0.1))) == {1, 4}


@pytest.mark.parametrize("words", [[], [""], ["  "], ["x" * 201]])
def test_a_list_that_says_nothing_is_refused(words: list[str]) -> None:
    with pytest.raises(ValidationError):
        BlockedWords(words=tuple(words))


LONG = 1_000_000


@pytest.mark.parametrize("unit", ["a", "a ", "\n", "🖕", "é", "\u0301", "坏", "\u200b", "a a a b ", "עברית "])
def test_time_is_linear_in_the_text(unit: str) -> None:
    long = unit * (LONG // len(unit.encode()))
    listed = BlockedWords(words=("a " * 50 + "c", "坏" * 50 + "c", "a", "🖕🖕"))
    count(pa.array(["a"]), listed)
    began = time.process_time()
    count(pa.array([long]), listed)
    assert time.process_time() - began < 5, "a text that takes time in its square takes minutes"


def test_a_long_list_is_as_fast_as_a_short_one() -> None:
    text = pa.array(["the quick brown fox jumps over the lazy dog " * 20_000])
    lists = [BlockedWords(words=tuple(f"word{number}" for number in range(length))) for length in (10, 100_000)]
    seconds = []
    for listed in lists:
        count(pa.array(["a"]), listed)
        began = time.process_time()
        assert count(text, listed).blocked[0] == 0
        seconds.append(time.process_time() - began)
    assert seconds[1] < 20 * seconds[0] + 0.5
