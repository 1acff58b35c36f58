import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.quality.contractions import APOSTROPHES, LONGEST, pieces
from tasks.clean.rules.quality.word_bytes import key_of_word
from tests.clean.rules.quality import reference
from tests.clean.rules.quality.columns import PIECES, texts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t\u3000", ""),
        ("Two words", "Two|words"),
        ("A word, and (another)!", "A|word|,|and|(|another|)|!"),
        ("He said: “Don’t.”", "He|said|:|“|Do|n’t|.|”"),
        ("I'll, you'd, it's; John's dogs'", "I|'ll|,|you|'d|,|it|'s|;|John|'s|dogs|'"),
        ("arm'd cannot Can't ma'am", "arm'd|can|not|Ca|n't|ma'am"),
        ("Mr. Smith of the U.S. came, e.g. by car.", "Mr.|Smith|of|the|U.S.|came|,|e.g.|by|car|."),
        ("in the USA. Vitamin A. 5. (b.)", "in|the|USA|.|Vitamin|A.|5|.|(|b.|)"),
        ("wait... what.... no.. …yes", "wait|...|what|....|no|..|…|yes"),
        ("well-known state--of---the----art", "well|-|known|state|--|of|---|the----art"),
        ("1,000.50 2-3 x2-3 1.5-rc 10:30 a:b", "1,000.50|2|-|3|x2|-|3|1.5|-|rc|10:30|a|:|b"),
        ("and/or a=b a<b c,d end.Start 1.0+", "and|/|or|a|=|b|a|<|b|c|,|d|end|.|Start|1.0|+"),
        ("C++ $5 5€ 100% #tag @user _x_", "C++|$|5|5|€|100|%|#|tag|@user|_|x|_"),
        ("see http://example.org/a-b, or x@y-z.org.", "see|http://example.org/a-b|,|or|x@y-z.org|."),
        ("www.a-b.com/c-d:e example.org:80/a-b", "www.a-b.com/c-d:e|example.org:80/a-b"),
        ("user@example.org/a-b ftp://u@example.org:21/a-b", "user@example.org/a-b|ftp://u@example.org:21/a-b"),
        ("a.b-c -a.bc-d .a.bc-d a.bc:1-d", "a.b|-|c|-a.bc|-|d|.a.bc|-|d|a.bc:1|-|d"),
        ("gut😀so ©2020 5°C", "gut|😀|so|©|2020|5|°|C"),
        ("«Да», — сказал он. Это т.е. всё", "«|Да|»|,|—|сказал|он|.|Это|т.е.|всё"),
        ("नमस्ते। 你好。", "नमस्ते|।|你好|。"),
        ("我们在学习，使用AI技术（很好）。", "我们|在学|习|，|使用|AI|技术|（|很好|）|。"),
        ("これはペンです、foo.barと", "これ|はペ|ンで|す|、|foo.bar|と"),
        ("ภาษาไทยไม่มี บอก1", "ภาษา|ไทยไ|ม่มี|บอก|1"),
        ("བོད་ཡིག་རེད། ་", "བོད་ཡིག་|རེད|།|་"),
        ("\u200bzero\u200b width", "\u200bzero\u200b|width"),
    ],
)
def test_words_are_split_as_described(text: str, expected: str) -> None:
    assert "|".join(words(text)) == expected
    assert "|".join(reference.words_of(text)) == expected


@settings(max_examples=600)
@given(texts)
def test_the_kernel_splits_every_text_as_the_reference(text: str) -> None:
    assert words(text) == list(reference.words_of(text))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([piece for piece in PIECES if piece.strip()]), min_size=1, max_size=7).map("".join))
def test_no_character_is_lost_and_none_is_in_two_words(chunk: str) -> None:
    assert "".join(words(chunk)) == "".join(chunk.split())


def test_every_listed_word_is_split_as_it_is_listed() -> None:
    for word, parts in pieces().items():
        assert words(word) == list(parts) == words(f"{word} ")
        if word[0] not in APOSTROPHES:  # a mark, which comes off first
            assert words(f"({word},") == ["(", *parts, ","]
        assert len(word.encode()) <= LONGEST


def test_keys_of_different_words_differ_unless_both_are_long() -> None:
    written = random.Random(1)
    made = {bytes(written.choices(b"ab\x00\xff", k=written.randint(1, 9))) for _ in range(20_000)}
    assert len({key_of_word(word) for word in made}) == len(made)
    assert all(key_of_word(word) >> 63 == (len(word) > 7) for word in made)
