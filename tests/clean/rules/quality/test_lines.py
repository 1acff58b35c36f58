"""C4's rules: which lines and documents are dropped, just within each bound and just beyond it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.quality.judge import judge
from tasks.clean.rules.quality.lines import LINE_RULES
from tasks.clean.rules.quality.settings import C4, QualitySettings
from tasks.clean.verdict import Verdict
from tests.clean.rules.quality.columns import PIECES, column, only, verdict

POLICIES = (
    "Terms of Use",
    "privacy policy",
    "COOKIE POLICY",
    "it uses cookies",
    "the use of cookies",
    "we use cookies",
)


def rewritten(text: str, chosen: QualitySettings) -> tuple[str, dict[str, int]]:
    """The text without the dropped lines, and the number dropped by reason."""
    found = judge(column(text), chosen)
    assert found.verdicts == [None]
    return found.texts[0].as_py(), dict(found.lines_dropped)


@pytest.mark.parametrize(
    ("keys", "stays", "goes", "reason"),
    [
        *(({"terminal_marks": ...}, f"It ends so{mark}", "It ends so", "no_terminal_mark") for mark in ".?!\"'"),
        *(
            ({"terminal_marks": ...}, "So.", f"It ends so{mark}", "no_terminal_mark")
            for mark in (",", "...", "。", "…")
        ),
        ({"terminal_marks": ...}, "It ends so .. ", "It ends so.) ", "no_terminal_mark"),
        ({"terminal_marks": ("…", "。")}, "It ends so…", "It ends so.", "no_terminal_mark"),
        ({"min_words_per_line": ...}, "one two three", "one two", "few_words"),
        ({"min_words_per_line": 5}, "one two three - five", "one two three four", "few_words"),
        ({"min_words_per_line": ...}, "one\u3000two\xa0three", "one\u200btwo\u200bthree", "few_words"),
        ({"max_word_length": ...}, "w" * 1000 + " w", "w " + "w" * 1001, "long_word"),
        ({"max_word_length": ...}, "é" * 1000, "é" * 1001, "long_word"),
        ({"script_phrases": ...}, "Java script is needed", "This needs JavaScript on", "script_phrase"),
        *(({"policy_phrases": ...}, "cookies are used", f"Our {phrase}.", "policy_phrase") for phrase in POLICIES),
        ({"policy_phrases": ("ǆ",)}, "Ǆ is a capital", "ǆ is none", "policy_phrase"),
        ({"min_words_per_line": 1}, "one", " \t", "blank"),
    ],
)
def test_a_line_stays_or_goes(keys: dict[str, object], stays: str, goes: str, reason: str) -> None:
    chosen = only("c4", **keys)
    assert rewritten(stays, chosen) == (stays.strip(), {})
    assert rewritten(f"{stays}\n{goes}\n{stays}\n", chosen) == (f"{stays.strip()}\n{stays.strip()}", {reason: 1})
    assert verdict(goes, chosen) == Verdict("c4_no_line_left", "0", None)
    assert rewritten(f"{stays}\n{goes}", only("c4"))[1] == {}


def test_lines_are_counted_by_the_first_rule_that_drops_them() -> None:
    rest = "no mark\nTwo words.\nNo javascript, use cookies.\nWe use cookies."
    text = f"The first line stays here.\n\n{'w' * 1001}\n{rest}"
    kept, dropped = rewritten(text, QualitySettings(c4=C4(min_sentences=None)))
    assert kept == "The first line stays here."
    assert dropped == dict.fromkeys(LINE_RULES, 1)


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("As is known.[12] It is[3][].", "As is known. It is."),
        ("History[edit]", "History"),
        ("It is so. [citation needed]", "It is so."),
        ("[note] [12a] [Edit] [ 1] [1", "[note] [12a] [Edit] [ 1] [1"),
        ("[[1]2] is [edit[]] gone [[citation[3] needed] with what was within", "is  gone [ with what was within"),
        ("[1] It is", "It is"),
        ("1] [1]2] [1", "1] 2] [1"),
        ("[٣] is no number here", "[٣] is no number here"),
        ("[1]", ""),
    ],
)
def test_citations_are_removed(line: str, without: str) -> None:
    off = only("c4").c4
    assert off is not None
    chosen = QualitySettings(c4=off.model_copy(update={"citations": "remove"}))
    assert rewritten(f"first\n{line}\nlast", chosen)[0] == f"first\n{without}\nlast"
    assert rewritten(f"first\n{line}\nlast", only("c4"))[0] == f"first\n{line}\nlast"


def test_a_line_is_asked_for_long_words_before_its_citations_go_and_for_the_rest_afterwards() -> None:
    chosen = QualitySettings(c4=C4(min_sentences=None))
    assert rewritten("There are three. [1]\nTwo words. [1]\n[1]", chosen) == (
        "There are three.",
        {"few_words": 1, "blank": 1},
    )
    assert rewritten(f"This is it.\nThis is {'[1]' * 334}.", chosen)[1] == {"long_word": 1}


@pytest.mark.parametrize(
    ("key", "text", "reason", "phrase"),
    [
        ("placeholder_phrases", "Some Lorem Ipsum here.", "c4_placeholder_phrase", "lorem ipsum"),
        ("code_phrases", "if (x) {", "c4_code_phrase", "{"),
    ],
)
def test_a_phrase_drops_the_document(key: str, text: str, reason: str, phrase: str) -> None:
    assert verdict(f"A line.\n{text}\nA line.", only("c4", **{key: ...})) == Verdict(reason, phrase, None)
    assert verdict(f"A line.\n{text}\nA line.", only("c4")) is None
    chosen = only("c4", **{key: ("ab", "b", "é")})
    assert verdict("xab", chosen) == Verdict(reason, "ab", None)
    assert verdict("É é", chosen) == Verdict(reason, "é", None)
    assert verdict("x a", chosen) is None


def test_a_phrase_in_a_line_that_goes_before_drops_nothing() -> None:
    chosen = QualitySettings(c4=C4(min_sentences=None))
    assert rewritten("if (x) {\nThis line is one.\nlorem ipsum", chosen)[0] == "This line is one."
    assert rewritten("javascript is { not needed.\nThis line is one.", chosen)[0] == "This line is one."
    assert verdict("javascript is lorem ipsum here.\nThis line is one.", chosen) is not None
    assert verdict("We use cookies { in this place.\nThis line is one.", chosen) is not None


def test_documents_of_few_sentences_are_dropped() -> None:
    chosen = only("c4", min_sentences=...)
    assert verdict("A bb. Cc dd! Ee ff? Gg hh. Ii jj.", chosen) is None
    assert verdict("A bb. Cc dd! Ee ff? Gg hh.", chosen) == Verdict("c4_too_few_sentences", "4", "5")
    assert verdict("A b c\nD e f\nG h i\nJ k l\nM n o", chosen) is None  # a line has at least one sentence
    assert verdict("Mr. A. b of the U.S. is ... so it seems", chosen) == Verdict("c4_too_few_sentences", "1", "5")
    assert verdict("एक है। दो है। तीन है। चार है। पाँच है।", chosen) is None
    assert verdict("“A bb.” (Cc dd.) “Ee ff?” Gg hh.”", chosen) == Verdict("c4_too_few_sentences", "4", "5")


LINES = st.lists(
    st.lists(st.sampled_from([piece for piece in PIECES if "\n" not in piece]), max_size=8).map(" ".join), max_size=10
).map("\n".join)
ENGLISH = st.lists(
    st.sampled_from(
        ["It is so [1].", "This [edit] is a line.", "no end", "[[1]2] is it.", "We use [2]cookies.", "", "x."]
    ),
    max_size=12,
).map("\n".join)


@settings(max_examples=300)
@given(
    st.one_of(LINES, ENGLISH),
    st.sampled_from([C4(min_sentences=None), C4(min_sentences=1, terminal_marks=None), C4(min_words_per_line=None)]),
)
def test_what_was_rewritten_stays_as_it_is(text: str, c4: C4) -> None:
    chosen = QualitySettings(c4=c4)
    once = judge(column(text), chosen)
    again = judge(once.texts, chosen)
    assert (again.verdicts, again.texts) == (once.verdicts, once.texts)
    if once.verdicts == [None]:
        assert not again.lines_dropped
    else:
        assert once.texts.to_pylist() == [text]
