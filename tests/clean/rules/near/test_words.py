import time
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tasks.clean.rules.near.words import words_of
from tests.clean.rules.near import reference
from tests.clean.rules.near.reference import column, words_in


def spelled(texts: Sequence[str]) -> list[list[int]]:
    """The hashes of the words of each text."""
    found = words_in(texts)
    return [part.tolist() for part in np.split(found.hashes, np.cumsum(found.counts)[:-1])] if texts else []


@settings(max_examples=400)
@given(reference.texts)
def test_words_are_those_of_the_plain_reference(texts: list[str]) -> None:
    expected = [reference.words(text) for text in texts]
    found = spelled(texts)
    assert list(map(len, found)) == list(map(len, expected))
    by_hash = dict(zip(chain(*found), chain(*expected), strict=True))
    by_word = {word: code for code, word in by_hash.items()}
    assert len(by_hash) == len(by_word) == len({word for words in expected for word in words})
    assert [[by_hash[code] for code in codes] for codes in found] == expected


def test_code_points_of_all_planes_are_read_as_the_reference_reads_them() -> None:
    codes = [*range(0x3100), *range(0x3100, 0x40000, 23), *range(0x40000, 0x110000, 997), 0x3FFFF, 0x40000, 0x10FFFF]
    characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    found = words_in([f"a{character}b {character}" for character in characters])
    expected = [reference.words(f"a{character}b {character}") for character in characters]
    assert found.counts.tolist() == list(map(len, expected))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("...", []),
        ("Hello, World!", ["hello", "world"]),
        ("snake_case don't x2y", ["snake", "case", "don", "t", "x2y"]),
        ("ÉCOLE Straße", ["école", "straße"]),
        ("e\u0301tude", ["e\u0301tude"]),
        ("\u0301 a", ["a"]),
        ("ΟΔΟΣ οδος οδοσ", ["οδοσ", "οδοσ", "οδοσ"]),
        ("İstanbul", ["istanbul"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("中文ab字", ["中", "文", "ab", "字"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("กำลัง", ["ก", "ำ", "ล\u0e31", "ง"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("١٢٣ x²", ["١٢٣", "x²"]),
        ("🙂 a🙂b", ["a", "b"]),
    ],
)
def test_what_a_word_is(text: str, words: list[str]) -> None:
    assert reference.words(text) == words
    alone = {"".join(word): code for word in words for (code,) in [spelled([word])[0]]}
    assert spelled([text]) == [[alone[word] for word in words]]


def test_columns_of_every_form_have_the_same_words() -> None:
    texts = ["nought", "one two", None, "", "Drei vier fünf", "six"]
    whole = words_of(column(texts))
    assert whole.counts.tolist() == [1, 2, 0, 0, 3, 1]
    for form in (pa.array(texts, pa.string()), pa.chunked_array([column(texts[:2]), column(texts[2:])])):
        assert words_of(form).hashes.tolist() == whole.hashes.tolist()
        assert words_of(form).counts.tolist() == whole.counts.tolist()
    part = words_of(column(texts)[1:5])
    assert part.counts.tolist() == [2, 0, 0, 3]
    assert part.hashes.tolist() == whole.hashes.tolist()[1:6]
    assert not len(words_of(column([])).counts) and not len(words_of(column([None, ""])).hashes)


def test_bytes_that_are_no_utf8_are_between_words() -> None:
    parts = [b"ab\xffcd", b"ab\xe4", b"ab\xf0\x9f", b"\x80ab", b"ab\xc3", b"ab"]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    broken = pa.LargeStringArray.from_buffers(len(parts), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts)))
    found = words_of(broken)
    ab = spelled(["ab"])[0][0]
    assert found.counts.tolist() == [2, 1, 1, 1, 1, 1]
    assert (found.hashes == ab).sum() == 6


@pytest.mark.parametrize("unit", ["x", "\n", "a ", "\u0301", "é", "中", "🙂", "\u200b", "ש\u05b8", "\u202ea"])
def test_long_runs_take_time_in_proportion(unit: str) -> None:
    def seconds(count: int) -> float:
        texts = column([unit * count])
        began = time.process_time()
        words_of(texts)
        return time.process_time() - began

    seconds(10)
    assert seconds(1_000_000) < 200 * max(seconds(20_000), 0.001)  # linear: 50 times; quadratic: 2,500 times
