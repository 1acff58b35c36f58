"""Debian's control files and the markup of descriptions, as plain text."""

import io

import pytest

from tasks.ingest import apt_text
from tasks.ingest.apt_text import paragraphs, stanzas

FILE = b"""Package: a
Description-md5: 1
description-EN: one
 first line
 .
  * item

Package: b
Other: x
 Package: no field
"""


def long(text: str) -> str:
    """Lines as in a control file: each with a leading space, and a dot for an empty one."""
    return "\n".join(f" {line}" if line else " ." for line in text.strip("\n").split("\n"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_stanzas_have_the_fields_asked_for(chunk, monkeypatch):
    monkeypatch.setattr(apt_text, "CHUNK", chunk)
    found = [stanza.fields for stanza in stanzas(io.BytesIO(FILE), ("Package", "Description-en"))]
    assert found == [{"package": "a", "description-en": "one\n first line\n .\n  * item"}, {"package": "b"}]


def test_a_wrong_byte_is_told_with_its_place_in_the_file():
    found = list(stanzas(io.BytesIO(FILE.replace(b"Other: x", b"Other: \xffx")), ("Package", "Other")))
    assert [(stanza.fields.get("other"), stanza.wrong_byte) for stanza in found] == [
        (None, None),
        ("\ufffdx\n Package: no field", FILE.index(b"Other: x") + len("Other: ")),
    ]


@pytest.mark.parametrize("sign", ["*", "-", "+", "•", "--", "o", "–", "−", "\\*"])
def test_items_of_a_list_are_lines_of_their_own(sign):
    text = f"It has:\n {sign} one that\n   is long;\n {sign} two.\nThat is all."
    assert paragraphs(long(text)) == ["It has:\n- one that is long;\n- two.\nThat is all."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It greets  its\nuser.\n\n\nAnd no one\nelse.\n.", ["It greets its user.", "And no one else."]),
        ("* one\nand more\n* two\n- three", ["- one and more\n- two\n- three"]),
        ("\\* one\n\\* two", ["- one\n- two"]),
        (
            "letters\no not a sign\n– an aside – of\n1. the kind",
            ["letters o not a sign – an aside – of 1. the kind"],
        ),
        (" 1. first\n   - inner\n     goes on\n 2. second", ["1. first\n  - inner goes on\n2. second"]),
        (" * captures user time\nspent by it", ["- captures user time spent by it"]),
        (" * many kinds of interfaces\n(graphical)", ["- many kinds of interfaces (graphical)"]),
        (
            " * Functions of higher order, with inference, result in designs of\nAda and C.",
            ["- Functions of higher order, with inference, result in designs of Ada and C."],
        ),
        (" * Biology.\nOther uses are rare.", ["- Biology.\nOther uses are rare."]),
        (" * NTFS, Windows NT\nOnly used blocks are copied.", ["- NTFS, Windows NT\nOnly used blocks are copied."]),
        (" one\n         - the first\n two - the second", ["one\n        - the first\ntwo - the second"]),
        ("Type:\n  $ sudo  do\n    --it\nNow.", ["Type:\n$ sudo  do\n  --it\nNow."]),
        (
            "a cross-\nplatform tool for pre-\nand post-processing -\nwell",
            ["a cross-platform tool for pre- and post-processing - well"],
        ),
    ],
    ids=[
        "lines of a paragraph flow, and a dot ends it", "a list that nobody indented is one too",
        "signs may be escaped", "an aside or a number within a paragraph is no item", "numbers and nesting stay",
        "an item goes on in lower case", "an item goes on in brackets", "an item goes on after a full line",
        "what follows a full stop is not of the item", "what follows a short line is not of the item",
        "a list beside names does not swallow the next name", "what is laid out stays as it is",
        "a word that was broken at its hyphen is one again",
    ],
)  # fmt: skip
def test_a_description_is_read_as_it_was_meant(text, expected):
    assert paragraphs(long(text)) == expected


def test_an_empty_description_has_no_paragraphs():
    assert paragraphs("") == []
