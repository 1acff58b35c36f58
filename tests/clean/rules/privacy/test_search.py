"""The compiled search finds what the plain reference finds, on every text."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.clean.rules.privacy.search import search
from tasks.clean.rules.privacy.settings import KINDS, SPECIAL
from tasks.formats.utf8 import utf8
from tests.clean.rules.privacy import reference
from tests.clean.rules.privacy.labelled import NEAR_MISSES, VALUES, block

LINES = [block("PRIVATE KEY", "/").split("/")[0], "-----END PRIVATE KEY-----", "-----", "A" * 40, "b" * 39, "+=", "\n"]
LINES += ["\n", "\r\n", "\\n", "\\", " ", ">", "<", "Comment: ", "DEK-Info: <x>\n", "a@b.org", "é", "."]
CARDS = ["4111 1111 1111 1111", "5555 5555 5555 4444", "3782 822463 10005", "3600 000000 0008", "4111 1111 1111 1112"]
CARDS += ["6264 8276 3076 2023 150", "4111-1111-1111-1111", "4111111111111111", "1234", "123", "12", ".", "x"]
NASTY = "@:.-_+/()[]<>,' \n\t\u00a0\u202f\u2009\u2011\u2013。｡भпю~=é×ßＡ１＠．－（−\u3000中😀٣۴५"
NASTY += "\u200b0123456789aAfFzxJeyKSG="


def find(text: str, special: tuple[str, ...] = ()) -> list[tuple[int, int, str]]:
    """Spans found in one text, in characters."""
    column = pa.array(["x@y.org 8.8.8.8", None, text], pa.large_string())
    ranges = np.array([name in special for name in SPECIAL] + [True])
    data, offsets = utf8(column.slice(2))
    found = search(data, offsets, ranges)
    encoded = text.encode()
    spans = [(start - offsets[0], end - offsets[0], kind) for _, start, end, kind in found.tolist()]
    return [(len(encoded[:start].decode()), len(encoded[:end].decode()), KINDS[kind]) for start, end, kind in spans]


def values(seed: int) -> str:
    """A value or a near miss, determined by the seed."""
    chance = random.Random(seed)
    return chance.choice([*(make for _, make in VALUES), *NEAR_MISSES])(chance)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A value or a near miss with a few characters changed."""
    text = values(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(["", *NASTY])) + text[place + draw(st.integers(0, 2)) :]
    return text


pieces = st.one_of(
    edited(),
    edited(),
    st.text(st.sampled_from(NASTY), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.sampled_from([" ", ", ", " or ", "Tel. ", "version ", "v. ", "://", "\n"]),
)
texts = st.lists(pieces, max_size=7).map("".join)
quick = settings(max_examples=400)


@quick
@given(texts, st.sets(st.sampled_from(SPECIAL)))
@example("a@b.co@c.co@d.co", set())
def test_the_search_finds_what_the_reference_finds(text: str, special: set[str]) -> None:
    assert find(text, tuple(special)) == reference.find(text, tuple(special))


NUMBERS = st.lists(st.sampled_from(CARDS), max_size=6)
LIKE = {
    "digits": st.text(st.sampled_from("0123456789 -.+()/"), max_size=40),
    "domains": st.tuples(
        st.text(st.sampled_from("joe@@@..пример中国рф-é2Ā\u093f»a"), max_size=30),
        st.sampled_from([".рф", ".中国", ".com"]),
    ).map("".join),
    "remotes": st.tuples(
        st.sampled_from(["", "ssh://", "://", "s://", "\u00e9"]),
        st.sampled_from(["git", "joe", "g.git"]),
        st.just("@b.com"),
        st.text(st.sampled_from(":/:/.git12~a, ＧＩＴ"), max_size=12),
    ).map("".join),
    "cards": NUMBERS.map(" ".join),
    "cards with one separator": st.builds(
        lambda parts, separator: " ".join(parts).replace(" ", separator),
        NUMBERS,
        st.sampled_from(["-", "\u00a0", "\u2011", "\u2003", "\u205f", "\u3000", "\u2013", "\u2212", "\t"]),
    ),
    "colons": st.text(st.sampled_from("0129adf:.%/2"), max_size=50),
    "lines of keys": st.tuples(
        st.sampled_from(["", LINES[0], LINES[0] + "\n" + LINES[3]]),
        st.lists(st.sampled_from(LINES), max_size=12).map("".join),
    ).map("".join),
}


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
@settings(max_examples=800)
@given(data=st.data(), special=st.sampled_from([(), SPECIAL]))
def test_so_it_does_among_lookalikes(
    like: st.SearchStrategy[str], data: st.DataObject, special: tuple[str, ...]
) -> None:
    text = data.draw(like)
    assert find(text, special) == reference.find(text, special)
