"""Gopher's and FineWeb's rules: just within and just beyond each bound, and like the reference on every document."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.quality.judge import judge
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


def named(cases: list[tuple[str, ...]]) -> list[str]:
    """IDs of the cases by key; pytest would use their texts."""
    return [f"{key}-{place}" for place, (key, *_) in enumerate(cases)]


QUALITY = [
    ("min_words", "word " * 50, "word " * 49, "gopher_too_few_words", "49", "50"),
    ("min_words", "word, " * 49 + "1", "word, " * 49 + "--- • $", "gopher_too_few_words", "49", "50"),
    ("max_words", "w " * 100_000, "w " * 100_001, "gopher_too_many_words", "100001", "100000"),
    ("min_mean_word_length", "the, one", "the, on", "gopher_short_words", "2.5", "3"),
    ("max_mean_word_length", "abcdefghij 1234567890.", "abcdefghij abcdefghijk", "gopher_long_words", "10.5", "10"),
    ("max_hashes_per_word", "w " * 9 + "#", "w " * 8 + "#", "gopher_hashes", "0.1111", "0.1"),
    ("max_ellipses_per_word", "w " * 9 + "...", "w " * 8 + "…", "gopher_ellipses", "0.1111", "0.1"),
    ("max_ellipses_per_word", "w " * 9 + "......"[:5], "w " * 9 + "......", "gopher_ellipses", "0.2", "0.1"),
    (
        "max_bullet_lines",
        lines(10, 9, "- x", "x -"),
        lines(11, 10, " • x", "x"),
        "gopher_bullet_lines",
        "0.9091",
        "0.9",
    ),
    ("max_bullet_lines", lines(10, 9, "-", "") + "\n", lines(10, 10, "-", ""), "gopher_bullet_lines", "1", "0.9"),
    ("max_ellipsis_lines", lines(10, 3, "x... ", "x"), lines(10, 4, "x …", "x"), "gopher_ellipsis_lines", "0.4", "0.3"),
    ("min_alphabetic_words", "w1 " * 8 + "1 ,", "w " * 7 + "1 2 3", "gopher_alphabetic_words", "0.7", "0.8"),
    ("min_stop_words", "the end of it", "The end of it, of", "gopher_stop_words", "1", "2"),
]


@pytest.mark.parametrize(("key", "within", "beyond", "reason", "value", "bound"), QUALITY, ids=named(QUALITY))
def test_gopher_quality(key: str, within: str, beyond: str, reason: str, value: str, bound: str) -> None:
    chosen = only("gopher_quality", **{key: ...})
    assert verdict(within, chosen) is None
    assert verdict(beyond, chosen) == Verdict(reason, value, bound)
    assert verdict(beyond, only("gopher_quality")) is None


def padded(start: str, characters: int) -> str:
    """A text of `characters` characters: `start`, and one more word."""
    return f"{start} {'z' * (characters - len(start) - 1)}"


def tens(*first: str) -> tuple[list[str], list[str]]:
    """Ten elements, and ten with one more repetition of `first`."""
    more = distinct(10)
    return [*first * 4, *more[:6]], [*first * 5, *more[:5]]


GRAMS = {n: " ".join(f"{chr(65 + k)}{n:02}xyz" for k in range(n)) for n in range(5, 11)}
"""n words of six characters."""

REPETITION = [
    ("lines", "\n\n".join(tens("a")[0]), "\n".join(tens("a")[1]), "duplicate_lines", "0.4"),
    ("lines", "\na\nb\nb\nc\n\n", "\na\nb\nb\n\n", "duplicate_lines", "0.3333"),
    ("paragraphs", "\n\n".join(tens("a\nb")[0]), "\n\n\n".join(tens("a\nb")[1]), "duplicate_paragraphs", "0.4"),
    ("paragraphs", "a\n\nb\n\nb\n\nc", "  a\n\nb\n\na \n", "duplicate_paragraphs", "0.3333"),
    ("line_characters", padded("ab\n" * 11, 100), padded("ab\n" * 11, 99), "duplicate_line_characters", "0.202"),
    ("line_characters", padded("äb\n" * 11, 100), padded("äb\n" * 11, 99), "duplicate_line_characters", "0.202"),
    (
        "paragraph_characters",
        padded("ab\n\n" * 11, 100),
        padded("ab\n\n" * 11, 99),
        "duplicate_paragraph_characters",
        "0.202",
    ),
    ("top_2", padded("Ab Cd Ab Cd", 50), padded("Ab Cd Ab Cd", 49), "top_2_gram", "0.2041"),
    ("top_2", padded("Ab, Ab,", 40), padded("Ab, Ab,", 39), "top_2_gram", "0.2051"),
    ("top_2", padded("abcd efgh", 45), padded("abcd efgh", 44), "top_2_gram", "0.2045"),
    ("top_3", padded("Ab Cd Gh Ab Cd Gh", 89), padded("Ab Cd Gh Ab Cd Gh", 88), "top_3_gram", "0.1818"),
    ("top_4", padded("A B C D A B C D", 88), padded("A B C D A B C D", 87), "top_4_gram", "0.1609"),
    *(
        (
            f"duplicate_{n}",
            padded(f"{GRAMS[n]} {GRAMS[n]}", size),
            padded(f"{GRAMS[n]} {GRAMS[n]}", size - 1),
            f"duplicate_{n}_grams",
            f"{6 * n / (size - 1):.{5 if n == 7 else 4}g}",  # to four digits, 0.13003 equals its bound
        )
        for n, size in ((5, 200), (6, 258), (7, 324), (8, 400), (9, 491), (10, 600))
    ),
]


@pytest.mark.parametrize(("key", "within", "beyond", "reason", "value"), REPETITION, ids=named(REPETITION))
def test_gopher_repetition(key: str, within: str, beyond: str, reason: str, value: str) -> None:
    kind = "_gram_characters" if key[-1].isdigit() else ""
    name = f"max_{key}{kind}" if kind else f"max_duplicate_{key}"
    chosen = only("gopher_repetition", **{name: ...})
    assert verdict(within, chosen) is None
    assert chosen.gopher_repetition is not None
    bound = f"{getattr(chosen.gopher_repetition, name):g}"
    assert verdict(beyond, chosen) == Verdict(f"gopher_{reason}", value, bound)
    assert verdict(beyond, only("gopher_repetition")) is None


FINEWEB = [
    ("min_punctuated_lines", lines(100, 12, "w.", "w"), lines(100, 11, "w?", "w. "), "punctuated_lines", "0.11"),
    ("min_punctuated_lines", lines(8, 1, "w।", "\n"), "\n \n", "punctuated_lines", "0"),
    ("max_short_lines", lines(100, 67, "w" * 30, "w" * 31), lines(100, 68, "ä" * 30, "w" * 31), "short_lines", "0.68"),
    ("max_duplicate_line_characters", "é\né\n" + "x" * 98, "é\né\n" + "x" * 97, "duplicate_lines", "0.0101"),
    ("max_newlines_per_word", "w\n" * 3 + "w " * 7, "w\n" * 3 + "w, " * 3, "newlines", "0.3333"),
]


@pytest.mark.parametrize(("key", "within", "beyond", "reason", "value"), FINEWEB, ids=named(FINEWEB))
def test_fineweb(key: str, within: str, beyond: str, reason: str, value: str) -> None:
    chosen = only("fineweb", **{key: ...})
    assert verdict(within, chosen) is None
    assert chosen.fineweb is not None
    bound = f"{getattr(chosen.fineweb, key):g}"
    assert verdict(beyond, chosen) == Verdict(f"fineweb_{reason}", value, bound)
    assert verdict(beyond, only("fineweb")) is None


def test_what_a_setting_names_is_counted() -> None:
    assert verdict("der die w", only("gopher_quality", min_stop_words=2, stop_words=("der", "die", "das"))) is None
    assert verdict("the of w", only("gopher_quality", min_stop_words=2, stop_words=("der", "die", "das"))) is not None
    assert (
        verdict("internationalization", only("gopher_quality", min_stop_words=1, stop_words=("internationalization",)))
        is None
    )
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
