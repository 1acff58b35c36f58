"""Gopher's and FineWeb's rules: just within and just beyond each bound, and like the reference on every document."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.quality.judge import judge, measure
from tasks.clean.rules.quality.rules import FINEWEB as FINEWEB_RULES
from tasks.clean.rules.quality.rules import GOPHER_QUALITY, GOPHER_REPETITION
from tasks.clean.rules.quality.settings import QualitySettings
from tasks.clean.verdict import Verdict
from tests.clean.rules.quality import reference
from tests.clean.rules.quality.columns import PIECES, column, only, texts, verdict
from tests.clean.rules.quality.perturbed import made, perturbed


def distinct(count: int, start: int = 0) -> list[str]:
    """Distinct words of four letters."""
    return [
        "".join(chr(97 + (number // 26**place) % 26) for place in range(4)) for number in range(start, start + count)
    ]


def lines(count: int, first: int, line: str, other: str) -> str:
    """`count` lines: the first `first` are `line`, the others `other`."""
    return "\n".join([line] * first + [other] * (count - first))


QUALITY = [
    ("min_words", "word " * 50, "word " * 49, "too_few_words", "49"),
    ("min_words", "word, " * 49 + "1", "word, " * 49 + "--- • $", "too_few_words", "49"),
    ("max_words", "w " * 100_000, "w " * 100_001, "too_many_words", "100001"),
    ("min_mean_word_length", "the, one", "the, on", "short_words", "2.5"),
    ("max_mean_word_length", "abcdefghij 1234567890.", "abcdefghij abcdefghijk", "long_words", "10.5"),
    ("max_hashes_per_word", "w " * 9 + "#", "w " * 8 + "#", "hashes", "0.1111"),
    ("max_ellipses_per_word", "w " * 9 + "...", "w " * 8 + "…", "ellipses", "0.1111"),
    ("max_ellipses_per_word", "w " * 9 + "......"[:5], "w " * 9 + "......", "ellipses", "0.2"),
    ("max_bullet_lines", lines(10, 9, "- x", "x -"), lines(11, 10, " • x", "x"), "bullet_lines", "0.9091"),
    ("max_bullet_lines", lines(10, 9, "-", "") + "\n", lines(10, 10, "-", ""), "bullet_lines", "1"),
    ("max_ellipsis_lines", lines(10, 3, "x... ", "x"), lines(10, 4, "x …", "x"), "ellipsis_lines", "0.4"),
    ("min_alphabetic_words", "w1 " * 8 + "1 ,", "w " * 7 + "1 2 3", "alphabetic_words", "0.7"),
    ("min_stop_words", "the end of it", "The end of it, of", "stop_words", "1"),
]


def padded(start: str, characters: int) -> str:
    """A text of `characters` characters: `start`, and one more word."""
    return f"{start} {'z' * (characters - len(start) - 1)}"


def tens(*first: str) -> tuple[list[str], list[str]]:
    """Ten elements, and ten with one more repetition of `first`."""
    more = distinct(10)
    return [*first * 4, *more[:6]], [*first * 5, *more[:5]]


def twice(n: int) -> str:
    """n words of six characters, twice."""
    return " ".join([f"{chr(65 + k)}{n:02}xyz" for k in range(n)] * 2)


REPETITION = [
    ("max_duplicate_lines", "\n\n".join(tens("a")[0]), "\n".join(tens("a")[1]), "duplicate_lines", "0.4"),
    ("max_duplicate_lines", "\na\nb\nb\nc\n\n", "\na\nb\nb\n\n", "duplicate_lines", "0.3333"),
    (
        "max_duplicate_paragraphs",
        "\n\n".join(tens("a\nb")[0]),
        "\n\n\n".join(tens("a\nb")[1]),
        "duplicate_paragraphs",
        "0.4",
    ),
    ("max_duplicate_paragraphs", "a\n\nb\n\nb\n\nc", "  a\n\nb\n\na \n", "duplicate_paragraphs", "0.3333"),
    *(
        (f"max_{measure}_characters", padded(text, size), padded(text, size - 1), reason, value)
        for measure, text, size, reason, value in (
            ("duplicate_line", "ab\n" * 11, 100, "duplicate_line_characters", "0.202"),
            ("duplicate_line", "äb\n" * 11, 100, "duplicate_line_characters", "0.202"),
            ("duplicate_paragraph", "ab\n\n" * 11, 100, "duplicate_paragraph_characters", "0.202"),
            ("top_2_gram", "Ab Cd Ab Cd", 50, "top_2_gram", "0.2041"),
            ("top_2_gram", "Ab, Ab,", 40, "top_2_gram", "0.2051"),
            ("top_2_gram", "abcd efgh", 45, "top_2_gram", "0.2045"),
            ("top_3_gram", "Ab Cd Gh Ab Cd Gh", 89, "top_3_gram", "0.1818"),
            ("top_4_gram", "A B C D A B C D", 88, "top_4_gram", "0.1609"),
            ("duplicate_5_gram", twice(5), 200, "duplicate_5_grams", "0.1508"),
            ("duplicate_6_gram", twice(6), 258, "duplicate_6_grams", "0.1401"),
            ("duplicate_7_gram", twice(7), 324, "duplicate_7_grams", "0.13003"),  # to four digits, 0.13 is the bound
            ("duplicate_8_gram", twice(8), 400, "duplicate_8_grams", "0.1203"),
            ("duplicate_9_gram", twice(9), 491, "duplicate_9_grams", "0.1102"),
            ("duplicate_10_gram", twice(10), 600, "duplicate_10_grams", "0.1002"),
        )
    ),
]
"""One character more makes the share of a measure of characters small enough."""

FINEWEB = [
    ("min_punctuated_lines", lines(100, 12, "w.", "w"), lines(100, 11, "w?", "w. "), "punctuated_lines", "0.11"),
    ("min_punctuated_lines", lines(8, 1, "w।", "\n"), "\n \n", "punctuated_lines", "0"),
    ("max_short_lines", lines(100, 67, "w" * 30, "w" * 31), lines(100, 68, "ä" * 30, "w" * 31), "short_lines", "0.68"),
    ("max_duplicate_line_characters", "é\né\n" + "x" * 98, "é\né\n" + "x" * 97, "duplicate_lines", "0.0101"),
    ("max_newlines_per_word", "w\n" * 3 + "w " * 7, "w\n" * 3 + "w, " * 3, "newlines", "0.3333"),
]


CASES = [
    (section, *case)
    for section, cases in (("gopher_quality", QUALITY), ("gopher_repetition", REPETITION), ("fineweb", FINEWEB))
    for case in cases
]


@pytest.mark.parametrize(
    ("section", "key", "within", "beyond", "reason", "value"),
    CASES,
    ids=[f"{key}-{place}" for place, (_, key, *_) in enumerate(CASES)],  # pytest would use the texts
)
def test_a_text_passes_within_a_bound_and_fails_beyond_it(
    section: str, key: str, within: str, beyond: str, reason: str, value: str
) -> None:
    chosen = only(section, **{key: ...})
    bound = getattr(chosen.sections[section], key)
    assert verdict(within, chosen) is None
    assert verdict(beyond, chosen) == Verdict(f"{section.partition('_')[0]}_{reason}", value, f"{bound:g}")
    assert verdict(beyond, only(section)) is None


def test_what_a_setting_names_is_counted() -> None:
    assert verdict("der die w", only("gopher_quality", min_stop_words=2, stop_words=("der", "die", "das"))) is None
    assert verdict("the of w", only("gopher_quality", min_stop_words=2, stop_words=("der", "die", "das"))) is not None
    long = "internationalization"
    assert verdict(long, only("gopher_quality", min_stop_words=1, stop_words=(long,))) is None
    assert verdict("* w\n* w", only("gopher_quality", max_bullet_lines=0.5)) is None
    assert verdict("* w\n* w", only("gopher_quality", max_bullet_lines=0.5, bullets=("*",))) is not None
    assert verdict("w\nw", only("fineweb", max_short_lines=0.5, short_line_characters=1)) is not None
    assert verdict("ww\nw", only("fineweb", max_short_lines=0.5, short_line_characters=1)) is None


def test_the_first_rule_in_the_published_order_is_the_reason() -> None:
    text = "# " * 200
    order = ["gopher_repetition", "gopher_quality", "fineweb"]
    reasons = []
    for place in range(3):
        found = verdict(text, QualitySettings.model_validate({name: {} for name in order[place:]}))
        assert found is not None
        reasons.append(found.reason)
    assert reasons == ["gopher_top_2_gram", "gopher_too_few_words", "fineweb_punctuated_lines"]


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """Changed English texts, and texts of few distinct pieces, so with many repetitions."""
    written = random.Random(5)
    return perturbed(made(50, seed=1), 250, seed=2) + [
        written.choice((" ", "", "\n")).join(
            written.choices(written.sample(PIECES, written.randint(2, 40)), k=written.randint(0, 90))
        )
        for _ in range(750)
    ]


PRESETS = [QualitySettings(preset=preset) for preset in ("gopher", "c4", "fineweb")]
TOUCHY = [
    # Bounds that are often missed and often met, so that every rule is the first to fail somewhere.
    only("gopher_repetition", max_duplicate_lines=0.1),
    only("gopher_repetition", max_duplicate_paragraph_characters=0.1),
    only("gopher_repetition", max_duplicate_paragraphs=0.1, max_top_4_gram_characters=0.1),
    *(only("gopher_repetition", **{f"max_top_{n}_gram_characters": 0.2}) for n in (2, 3)),
    *(only("gopher_repetition", **{f"max_duplicate_{n}_gram_characters": 0.1}) for n in (5, 6, 7, 8, 9, 10)),
    only("gopher_repetition", max_duplicate_line_characters=0.1),
    only("gopher_quality", max_words=20, min_mean_word_length=2, max_mean_word_length=4),
    only("gopher_quality", max_hashes_per_word=0.05, max_ellipses_per_word=0.05, max_bullet_lines=0.4),
    only("gopher_quality", max_ellipsis_lines=0.1, min_alphabetic_words=0.5, min_stop_words=1),
    only("fineweb", min_punctuated_lines=0.3, max_newlines_per_word=0.1),
    only("fineweb", max_short_lines=0.5, short_line_characters=10, max_duplicate_line_characters=0.1),
]


@settings(max_examples=250)
@given(st.lists(texts, min_size=1, max_size=6), st.sampled_from(PRESETS + TOUCHY))
def test_every_document_is_judged_as_by_the_reference(given: list[str], chosen: QualitySettings) -> None:
    found = judge(column(*given), chosen)
    expected = [reference.judged(text, chosen) for text in given]
    assert found.verdicts == [verdict for _, verdict, _ in expected]
    assert found.texts.to_pylist() == [text for text, _, _ in expected]
    assert found.lines_dropped == sum((dropped for *_, dropped in expected), Counter())
    found.texts.validate(full=True)


def test_every_rule_decides_about_some_document(documents: list[str]) -> None:
    """The property above tests only rules that some text fails first."""
    reasons: Counter[str] = Counter()
    for chosen in TOUCHY:
        verdicts = judge(column(*documents), chosen).verdicts
        assert verdicts == [reference.judged(text, chosen)[1] for text in documents]
        reasons.update(found.reason for found in verdicts if found is not None)
    listed = {rule.reason for rules in (GOPHER_REPETITION, GOPHER_QUALITY, FINEWEB_RULES) for rule in rules}
    assert listed - set(reasons) == {"gopher_too_few_words"}  # in the presets
    assert min(reasons.values()) > 10, reasons


@pytest.mark.parametrize("chosen", PRESETS)
def test_a_verdict_depends_on_the_document_alone(chosen: QualitySettings, documents: list[str]) -> None:
    together = judge(column(*documents), chosen)
    alone = [judge(column(text), chosen) for text in documents]
    assert together.verdicts == [one.verdicts[0] for one in alone]
    assert together.texts.to_pylist() == [one.texts[0].as_py() for one in alone]
    assert together.lines_dropped == sum((one.lines_dropped for one in alone), Counter())
    backwards = judge(column(*documents[::-1]), chosen)
    assert together.verdicts == backwards.verdicts[::-1]


PROSE = {
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
    "人人有资格享有本宣言所载的一切权利和自由，不分种族、肤色、性别、语言、宗教、政治或其他见解。"
    "人人有权享有生命、自由和人身安全。任何人不得使为奴隶或奴役；一切形式的奴隶制度和奴隶买卖，均应予以禁止。"
    "任何人不得加以酷刑，或施以残忍的、不人道的或侮辱性的待遇或刑罚。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と"
    "良心とを授けられており、互いに同胞の精神をもって行動しなければならない。すべて人は、いかなる事由による差別をも受けることなく、"
    "この宣言に掲げるすべての権利と自由とを享有することができる。何人も、奴隷にされ、又は苦役に服することはない。",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์"
    "แห่งภราดรภาพ ทุกคนย่อมมีสิทธิและอิสรภาพทั้งปวงตามที่กำหนดไว้ในปฏิญญานี้ โดยปราศจากการแบ่งแยกไม่ว่าชนิดใด "
    "บุคคลมีสิทธิในการมีชีวิต ในเสรีภาพ และในความมั่นคงแห่งร่างกาย",
}


@pytest.mark.parametrize("prose", PROSE.values(), ids=PROSE)
def test_prose_in_a_script_without_spaces_is_judged_by_its_words(prose: str) -> None:
    gopher = QualitySettings(preset="gopher", gopher_quality={"min_stop_words": None})
    c4 = QualitySettings(preset="c4", c4={"terminal_marks": None, "min_sentences": 1})
    assert [judge(column(prose), chosen).verdicts for chosen in (gopher, c4)] == [[None], [None]]
    assert judge(column(f"{prose} {prose}"), gopher).verdicts[0].reason == "gopher_duplicate_5_grams"


@settings(max_examples=100)
@given(texts)
def test_a_share_is_never_above_1(text: str) -> None:
    records = measure(column(text), None, None, np.array([True]), gopher=True, repetition=True)
    shares = ("top_gram_characters", "duplicate_gram_characters", "duplicate_lines", "duplicate_paragraphs")
    assert all(np.max(records[name]) <= 1 for name in shares)


def test_slices_nulls_and_nothing_are_columns_too() -> None:
    chosen = QualitySettings(preset="fineweb")
    words = distinct(60)
    good = "\n".join(f"Now the {' '.join(words[start : start + 10])} of it." for start in range(0, 60, 10))
    given = column("few words", good, None, good.replace(".", ","), "", good)
    verdicts = judge(given, chosen).verdicts
    assert [found and found.reason for found in verdicts] == [
        *("gopher_top_2_gram", None, None, "fineweb_punctuated_lines", "gopher_too_few_words", None)
    ]
    for start, stop in ((0, 0), (0, 6), (1, 3), (2, 3), (3, 6)):
        part = judge(given.slice(start, stop - start), chosen)
        assert part.verdicts == verdicts[start:stop]
        assert part.texts.to_pylist() == given.to_pylist()[start:stop]
    assert judge(column(), chosen).texts.type == given.type
    assert judge(column("", "", ""), chosen).texts.to_pylist() == [""] * 3
