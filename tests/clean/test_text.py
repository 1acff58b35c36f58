import sys
import time
import unicodedata
from collections import defaultdict
from functools import reduce
from typing import Literal

import pyarrow as pa
import pytest
from ftfy.chardata import CHARMAP_ENCODINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.mojibake import repair_mojibake
from tasks.clean.rewrite import rewrite as rewrite_column
from tasks.clean.settings import CleanSettings
from tasks.clean.text import (
    DEEPEST,
    is_deep,
    limit_blank_lines,
    normalise,
    remove_trailing_blanks,
    rewriting,
    rewritten,
    unify_line_ends,
)

FORMS = [
    CleanSettings(unicode=form, zero_width=zero_width, max_blank_lines=blank)
    for form in ("NFC", "NFKC", "none")
    for zero_width in ("spaces", "all", "none")
    for blank in (0, 2, None)
]

# Trouble: line ends, controls, marks that reorder or decompose into two, letters that get longer.
NASTY = (
    "\r\n\x0b\x0c\x1c\x85\u2028\u2029\x00\x1b\x7f\x9f\t \u00a0\u3000\ufeff\u200b\u200d\u2060\u0300\u0315\u0323\u0344"
)
NASTY += "\u0f73\u0f81\u0958\u1e9b\ufb01\uff9e\u034f\ufdfaaé가ᄀ\u1161\u11a8"
adversarial = st.text(st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=["Cs"])), max_size=300)
runs = st.lists(st.tuples(st.sampled_from(NASTY), st.integers(1, 80)), max_size=8).map(
    lambda parts: "".join(character * count for character, count in parts)
)

garbled = st.builds(
    lambda text, encodings: reduce(misread, encodings, text),
    st.text("é’à–Яр日őñ😀…œ\u00a0\u0300\ufeffab. ?", max_size=40),
    st.lists(st.sampled_from(CHARMAP_ENCODINGS), max_size=2),
)


DEFAULTS = CleanSettings()


def misread(text: str, encoding: str) -> str:
    return text.encode().decode(encoding, errors="replace")


def rewrite(text: str, chosen: CleanSettings = DEFAULTS) -> str:
    return rewritten(text, rewriting(chosen))[0]


@settings(max_examples=600)
@given(st.one_of(adversarial, runs, garbled), st.sampled_from(FORMS))
def test_cleaning_clean_text_changes_nothing(text: str, chosen: CleanSettings) -> None:
    once = rewrite(text, chosen)
    assert rewrite(once, chosen) == once
    if chosen.unicode != "none":
        assert unicodedata.is_normalized(chosen.unicode, once)
    assert not set("\r\x00\x85\u2028\x7f") & set(once)
    assert once == "\n".join(line.rstrip() for line in once.split("\n"))


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_no_character_becomes_one_that_should_have_gone(form: str) -> None:
    everything = CleanSettings(unicode=form, zero_width="all")
    codes = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    once = rewrite("".join(f"a{character}b" for character in codes), everything)
    assert rewrite(once, everything) == once


def test_what_was_read_in_another_encoding_is_repaired() -> None:
    text = "Le café d’à côté – naïve, “cité”"
    for encoding in ("latin-1", "sloppy-windows-1252"):
        assert repair_mojibake(misread(text, encoding)) == text
    assert repair_mojibake(f"{text}\n{misread(text, 'sloppy-windows-1252')}") == f"{text}\n{text}"
    assert repair_mojibake(misread(misread("déjà", "latin-1"), "latin-1")) == "déjà"
    assert rewrite(misread(text, "latin-1"), CleanSettings(mojibake="keep")) != text


CORRECT = (
    "Le café d’à côté – naïve, “cité”|«É», «à» !|ПРИВЕТ…|Ã|São Tomé|日本|A palavra do dia e «MAÇÃ».|“HÂLÂ”|“AMANHÃ” e"
    "|Â is the third|the letters “Ã”, “Â” and “Å”|«\u00a0MAÇÃ\u00a0»|« Â »|MAÇÃ’S|AMANHÃ—HOJE|MAMÃ®|HÂLÂ®|MAÇÃ¹|Ω²"
    "|a volume of 12 Å³|« olé »¹|«MAÇÃ»…|ΑΒΗ†|“РОССИЯ”|ГОСТ†|“CAFÉ” – e|«café»¹|Ð»|“Ж” и «Я»|“é”—|A MAÇÃ é|À€."
    "|«está»…|«LÃ»|´AMANHÃ´|NÃO É AMANHÃ–HOJE|LÃ\u00a0- HOJE|LÃ  E SEDA|PARANÁ²|„«TÁ»“"
)


@pytest.mark.parametrize("text", CORRECT.split("|"))
def test_correct_text_is_not_repaired(text: str) -> None:
    assert repair_mojibake(text) == text
    assert repair_mojibake(f"Voilà: {text}, cafÃ©") == f"Voilà: {text}, café"


REAL = (
    "Österreich|KÖLN|isto é bom|goût|3×4|ACME®|20 °C, £5|etc.\u00a0 Next|\u00a0Bar|it’s|déjà vu, à la carte|à la carte"
    "|«città» più|Привет, «СССР» – это|Ελληνικά «ΑΒΓ»|naïve 😀|日本語のテキスト。|مرحبا بالعالم|É|DÉJÀ"
    "|Où est-il?|Sé|R² = 0.9|KM²|Dû|Là-bas|Dà retta|Việt Nam|Hồ|cầu|Mỹ"
)


@pytest.mark.parametrize("before", ["", "A correct “naïve” café: "])
@pytest.mark.parametrize("text", REAL.split("|"))
def test_mojibake_is_repaired_alone_and_beside_correct_text(text: str, before: str) -> None:
    for encoding in ("latin-1", "sloppy-windows-1252"):
        assert repair_mojibake(before + misread(text, encoding)) == before + text


def test_nel_ends_a_line_unless_it_was_another_character() -> None:
    assert rewrite("café\x85“naïve” été\x85Il\x85") == "café\n“naïve” été\nIl"
    assert rewrite("cafÃ©\x85next") == "café\nnext"
    assert rewrite("It\x92s so\x85 and Ã\x85ngström") == "It’s so… and Ångström"
    assert rewrite("Ã\x85ngström\x85AMANHÃ\x85É") == "Ångström\nAMANHÃ\nÉ"


def test_a_page_becomes_what_it_shows() -> None:
    body = "<h1>A title</h1><p>One &amp; two<br>three &lt;p&gt;</p><script>if (1 < 2) {}</script>"
    page = f"<!doctype html><html><body><nav><ul><li>a menu</li></ul></nav>{body}</body></html>"
    assert rewrite(page, CleanSettings(html="main")) == "A title\n\nOne & two\nthree <p>"
    assert rewrite(page, CleanSettings(html="text")).startswith("  • a menu\n\nA title\n\n")
    assert rewrite(page) == page
    for text in (
        "1 < 2 and\n2 > 1",
        "a <T> b",
        "List<String> and <stdio.h>",
        "x <- y",
        "R&D; ?a=1&copy=2",
        "&none; &notit;",
        "if (a<b && c>d) x",
        "<s>a chat</s>",
        "ln <link> <title>, on <yyyy>-<mm>-<dd>, <font>, <main>: press <Del>",
    ):
        assert rewrite(text, CleanSettings(html="text")) == text


ELEMENTS = ("font", "tt", "center", "u", "small", "big", "sub", "sup", "th", "main", "figure", "nav")


@pytest.mark.parametrize(
    "page",
    [
        *(f"1 <{name}>2</{name}> 3" for name in ELEMENTS),
        "1 <font size=2 color=\"#fff\">2 3", "1 2<hr/>3", "1 <dl><dt>2</dt><dd>3</dd></dl>", "1 <TBODY><tr><td>2 3",
        "<title>0</title>1 2 3", "<style>p {}</style>1 2 3", "<script src='x.js'></script>1 2 3", "1 2 <link rel=x>3",
        "<form action='?a=1&amp;b=2'>1 2 3", "1 <iframe src=x></iframe>2 3", "1 <a href=x?a=1&b=2>2 3",
    ],
)  # fmt: skip
def test_any_element_that_prose_has_not_makes_a_page(page: str) -> None:
    assert rewrite(page, CleanSettings(html="text")).split() == ["1", "2", "3"]


@pytest.mark.parametrize("html", ["text", "main"])
def test_entities_are_replaced_without_tags_too(html: Literal["text", "main"]) -> None:
    text = "Tom &amp; Jerry: caf&eacute; &#8211; &#x2019;, 1 &lt; 2&nbsp;&hellip; &amp;lt;b&amp;gt;&#7; &#00000233;"
    assert rewrite(text, CleanSettings(html=html)) == "Tom & Jerry: café – ’, 1 < 2\u00a0… &lt;b&gt; é"
    assert rewrite(text) == text
    column = pa.array(["plain", text], pa.large_string())
    assert rewrite_column(column, CleanSettings(html=html), defaultdict(set))[0][1].as_py() != text


def test_a_page_that_is_too_deep_becomes_all_that_it_shows() -> None:
    main = rewriting(CleanSettings(html="main"))

    def nested(depth: int) -> str:
        start, end = "<html><body>", "</body></html>"
        inner = depth - 3
        return f"{start}{'<div>' * inner}<nav><ul><li>a menu</li></ul></nav><p>A text</p>{'</div>' * inner}{end}"

    assert rewritten(nested(DEEPEST - 2), main) == ("A text", {"html"})
    deep, changed = rewritten(nested(DEEPEST + 1), main)
    assert changed == {"deep_html"}
    assert deep == rewrite(nested(DEEPEST + 1), CleanSettings(html="text"))
    assert "a menu" in deep


def test_the_deepest_page_of_which_the_main_part_is_looked_for() -> None:
    inner = DEEPEST - 2  # plus html and body
    assert not is_deep("<div>" * inner)
    assert is_deep("<div>" * (inner + 1))
    assert is_deep("<div><!--</div>-->" * (inner + 1))
    assert not is_deep("<p>a<br>" * 10 * DEEPEST)
    assert not is_deep("&lt;div>" * 10 * DEEPEST)
    assert not is_deep("<div></div>" * 10 * DEEPEST)


def test_every_line_end_becomes_a_line_feed() -> None:
    ends = ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
    assert unify_line_ends("".join(f"a{end}" for end in ends)) == "a\n" * len(ends)


def test_controls_go_and_tabs_stay() -> None:
    assert rewrite("\ufeffa\x00\tb\x1b[0m\x81c\u200bd") == "a\tb[0mcd"
    assert rewrite("a\x00b", CleanSettings(control_characters="keep")) == "a\x00b"


def test_joiners_stay_unless_asked() -> None:
    emoji = "👩\u200d🔬"
    assert rewrite(emoji) == emoji
    assert rewrite(emoji, CleanSettings(zero_width="all")) == "👩🔬"
    assert rewrite("a\u200bb", CleanSettings(zero_width="none")) == "a\u200bb"


def test_normal_forms_are_those_of_unicode() -> None:
    text = "e\u0301 ﬁ Å ½ 가 " * 3
    for form in ("NFC", "NFKC"):
        assert normalise(text, form) == unicodedata.normalize(form, text)
    assert rewrite("e\u0301", CleanSettings(unicode="none")) == "e\u0301"


def test_blanks_and_blank_lines() -> None:
    assert remove_trailing_blanks("a \t\n  b\u3000\n \n") == "a\n  b\n\n"
    assert limit_blank_lines("\n\na\n\n\n\n\nb\n\nc\n", 2) == "a\n\n\nb\n\nc"
    assert limit_blank_lines("a\n\n\nb", 0) == "a\nb"
    assert rewrite("  a\n \n \n \n \nb ") == "  a\n\n\nb"


UNITS = (
    "x",
    "\n",
    " ",
    " \n",
    "\r\n",
    "\x00",
    "\u0315\u0300",
    "\u0f71\u0f73",
    "é",
    "e\u0301",
    "\u200b",
    " x",
    "\n\n\nx",
)


@pytest.mark.parametrize("unit", [*UNITS, "Ã©", "â€™", "\x80", "Ã", "Ã ", "aÃ©\n"])
def test_long_runs_take_time_in_proportion(unit: str) -> None:
    def seconds(count: int) -> float:
        text = "a" + unit * count + "b"
        began = time.process_time()
        rewrite(text)
        return time.process_time() - began

    seconds(1000)
    # Quadratic time would be 256 times as long; linear is 16 times.
    assert seconds(80_000) < 80 * max(seconds(5_000), 0.001)
