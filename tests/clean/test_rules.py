import math
import subprocess
import sys
import unicodedata
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.documents import rules_of
from tasks.clean.rewrite import measured, rewrite
from tasks.clean.rules.blocked.characters import UNSPACED
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.clean.rules.scripts import lengths_in_words
from tasks.clean.settings import CleanSettings
from tasks.clean.verdict import Batch, Verdict, shown
from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate
from tests.scratch import ROOT

ENGLISH = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood."
)
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
JAPANESE = (
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられて"
    "おり、互いに同胞の精神をもって行動しなければならない。"
)
THAI = "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"


def verdict(text: str, target: str | None = None, label: str | None = None, /, **settings: Any) -> Verdict | None:
    chosen = CleanSettings.model_validate(settings)
    sides = [measured(pa.array([side], pa.large_string()), chosen)[0] for side in (text, target)]
    batch = Batch(*sides, np.array([text == target]), [label])
    for rule in rules_of(chosen, {"seldom": 2}):
        dropped, why = rule(batch)
        if dropped[0]:
            return why(0)
    return None


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("", {}, Verdict("too_few_characters", "0", "1")),
        ("abc", {"min_characters": 4}, Verdict("too_few_characters", "3", "4")),
        ("abcd", {"min_characters": 4}, None),
        ("abcde", {"max_characters": 4}, Verdict("too_many_characters", "5", "4")),
        ("abcd", {"max_characters": 4}, None),
        ("a b\nc", {"min_words": 4}, Verdict("too_few_words", "3", "4")),
        ("a b\nc", {"min_words": 3}, None),
        ("a b\u3000c", {"max_words": 2}, Verdict("too_many_words", "3", "2")),
        ("a b", {"max_words": 2}, None),
    ],
)
def test_bounds_are_inclusive_and_the_target_has_its_own(
    text: str, settings: dict[str, int], expected: Verdict | None
) -> None:
    assert verdict(text, **settings) == expected
    assert verdict(text, "x", **settings) == expected
    of_target = expected and Verdict(f"target_{expected.reason}", expected.value, expected.threshold)
    assert verdict("x", text, target=settings) == of_target
    assert verdict("x", None, target=settings) is None


@pytest.mark.parametrize(
    ("text", "target", "most", "expected"),
    [
        ("a b c d", "e f", 2.0, None),
        ("a b", "c d\ne\u3000f", 2.0, None),
        ("a b c d e", "f g", 2.0, Verdict("length_ratio", "2.5", "2")),
        ("a b", "c d e f g", 2.4, Verdict("length_ratio", "2.5", "2.4")),
        ("a " * 2001, "b " * 1000, 2.0, Verdict("length_ratio", "2.001", "2")),
        (ENGLISH, CHINESE, 2.0, None),
        (ENGLISH, JAPANESE, 2.0, None),
        (ENGLISH, THAI, 2.0, None),
        (CHINESE, THAI, 2.0, None),
        (ENGLISH, "人人", 9.0, Verdict("length_ratio", "30", "9")),
        ("one two", CHINESE * 2, 9.0, Verdict("length_ratio", "19.5", "9")),
        ("a b", " ", 9.0, Verdict("length_ratio", "2 words and none", "9")),
        ("a b c d e", "f g", None, None),
        ("a b c d e", None, 2.0, None),
    ],
)
def test_the_words_of_one_side_are_at_most_so_many_times_those_of_the_other(
    text: str, target: str | None, most: float | None, expected: Verdict | None
) -> None:
    assert verdict(text, target, max_length_ratio=most) == expected


def slow_length(text: str) -> int:
    """Words of a text as counted by `scripts`."""
    ideographs = sum(kind(character) == "ideograph" for character in text)
    letters = sum(kind(character) == "letter" for character in text)
    words = 0
    for word in text.split():
        parts = "".join(" " if kind(character) in ("ideograph", "letter") else character for character in word).split()
        words += sum(any(kind(character) == "other" for character in part) for part in parts) if parts != [word] else 1
    return words + math.ceil(ideographs / 2) + math.ceil(letters / 4)


def kind(character: str) -> str:
    inside = unicodedata.category(character)[0] in "LMN" or unicodedata.category(character) == "Pc"
    without_blanks = any(first <= ord(character) <= last for first, last in UNSPACED)
    if 0x20000 <= ord(character) < 0x40000:
        return "ideograph"
    if not inside or ord(character) >= 0x40000:
        return "sign"
    if not without_blanks:
        return "other"
    if 0x0E00 <= ord(character) < 0x2000 or 0xA9E0 <= ord(character) < 0xAAE0:
        return "sign" if unicodedata.category(character)[0] == "M" else "letter"
    return "ideograph"


@given(
    st.lists(
        st.text("ab1é-,.“ \n\u3000\u00a0漢か〇ー、กำ่ခ་ག한🎭𠮷\U000e0100", max_size=30) | st.text(max_size=30),
        max_size=6,
    )
)
def test_lengths_are_those_of_the_slow_reference_and_words_where_scripts_have_blanks(texts: list[str]) -> None:
    lengths = lengths_in_words(pa.array([*texts, None], pa.large_string())).tolist()
    assert lengths == [*map(slow_length, texts), 0]
    spaced = ["".join(one for one in text if kind(one) in ("other", "sign")) for text in texts]
    assert lengths_in_words(pa.array(spaced, pa.large_string())).tolist() == [len(text.split()) for text in spaced]


def test_rewritten_pairs_are_compared_by_what_they_became() -> None:
    chosen = CleanSettings.model_validate({"max_length_ratio": 2.0})
    column = pa.array([CHINESE + " \r\n\x07 a", CHINESE, None], pa.large_string())
    _, sizes = rewrite(column, chosen, defaultdict(set))
    assert sizes.lengths.tolist() == [21, 20, 0] and sizes.words.tolist() == [2, 1, 0]


def test_a_value_is_never_shown_as_the_threshold_that_it_breaks() -> None:
    assert shown(2.5, 2) == "2.5" and shown(1 / 3, 0.3) == "0.333"
    assert shown(0.10001, 0.1) == "0.10001" and shown(0.09999, 0.1) == "0.09999"
    assert shown(0.64996, 0.65, 2) == "0.64996"
    assert shown(0.1 + 0.2, 0.3) == "0.30000000000000004"


def test_what_was_not_translated_goes_where_that_is_asked_for() -> None:
    assert verdict("same", "same", identical_sides="drop") == Verdict("identical_sides", "4 characters", None)
    assert verdict("same", "Same", identical_sides="drop") is None
    assert verdict("same", "same") is None
    assert verdict("same", None, identical_sides="drop") is None


def test_documents_of_rare_labels_go_where_that_is_asked_for() -> None:
    assert verdict("x", None, "seldom", min_documents_per_label=3) == Verdict("rare_label", "2", "3")
    assert verdict("x", None, "often", min_documents_per_label=3) is None
    assert verdict("x", None, "seldom") is None
    assert verdict("x", None, None, min_documents_per_label=3) is None


def test_settings_say_which_of_them_are_about_pairs_and_classes() -> None:
    assert CleanSettings().keys_about("target") == [] == CleanSettings().keys_about("label")
    settings = CleanSettings.model_validate(
        {"max_length_ratio": 3.0, "languages": {"text": "en", "target": "fr"}, "min_documents_per_label": 2}
    )
    assert settings.keys_about("target") == ["max_length_ratio", "languages.target"]
    assert settings.keys_about("label") == ["min_documents_per_label"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"min_words": 5, "max_words": 4}, "max_words 4 is less than min_words 5"),
        ({"min_words": "5"}, "clean.min_words: "),
        ({"min_word": 5}, "clean.min_word: unknown key"),
        ({"unicode": "NFX"}, "clean.unicode: "),
        ({"target": {"min_words": 5, "max_words": 4}}, "clean.target: max_words 4 is less than min_words 5"),
        ({"max_length_ratio": 0.5}, "clean.max_length_ratio: "),
        ({"min_documents_per_label": 1}, "clean.min_documents_per_label: "),
        ({"languages": {"target": "fr_FR"}}, "clean.languages.target: "),
        ({"languages": {"threshold": 0.5}}, "clean.languages: set text, target, or both"),
        ({"splits": {"validation": 0.5, "test": 0.5}}, "clean.splits: validation 0.5 and test 0.5 leave nothing"),
        ({"splits": {"test_groups": ["a"], "validation_groups": ["a"]}}, "'a': in both validation_groups and test_gr"),
        ({"near_duplicates": {"threshold": 0.0}}, "clean.near_duplicates.threshold: "),
        ({"near_duplicates": {"threshold": 1.01}}, "clean.near_duplicates.threshold: "),
        ({"near_duplicates": {"bands": 0}}, "clean.near_duplicates.bands: "),
        ({"near_duplicates": {"bands": 512, "rows": 9}}, "bands 512 × rows 9 = 4608, more than 4096"),
        ({"near_duplicates": {"max_bucket": 1}}, "clean.near_duplicates.max_bucket: "),
        ({"near_duplicates": {"n": 5}}, "clean.near_duplicates.n: unknown key"),
        ({"contamination": {"ngram": 7}}, "min_words 8 is more than ngram 7"),
        ({"contamination": {"min_share": 1.5}}, "clean.contamination.min_share: "),
        ({"duplicate_paragraphs": {"separator": "word"}}, "clean.duplicate_paragraphs.separator: "),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(section: dict, message: str, tmp_path) -> None:
    with pytest.raises(RecipeError) as error:
        validate(CleanSettings, section, tmp_path / "x.yaml", "clean")
    assert message in str(error.value)


def test_a_pair_of_the_default_threshold_is_a_candidate_with_the_chance_that_the_docstring_states() -> None:
    chosen = NearDuplicateSettings()
    assert 1 - (1 - chosen.threshold**chosen.rows) ** chosen.bands == pytest.approx(0.9996, abs=5e-5)
    assert "0.9996 at 0.8" in (NearDuplicateSettings.__doc__ or "")


def test_settings_load_no_compiler() -> None:
    script = "import sys, tasks.clean.settings; print({'numba', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
