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


def test_lines_of_a_paragraph_flow_and_a_dot_ends_it():
    text = "It greets  its\nuser.\n\n\nAnd no one\nelse.\n."
    assert paragraphs(long(text)) == ["It greets its user.", "And no one else."]
    assert paragraphs("") == []


@pytest.mark.parametrize("sign", ["*", "-", "+", "•", "--", "o", "–", "−", "\\*"])
def test_items_of_a_list_are_lines_of_their_own(sign):
    text = f"It has:\n {sign} one that\n   is long;\n {sign} two.\nThat is all."
    assert paragraphs(long(text)) == ["It has:\n- one that is long;\n- two.\nThat is all."]


def test_a_list_that_nobody_indented_is_one_too():
    assert paragraphs(long("* one\nand more\n* two\n- three")) == ["- one and more\n- two\n- three"]
    assert paragraphs(long("\\* one\n\\* two")) == ["- one\n- two"]
    assert paragraphs(long("letters\no not a sign\n– an aside – of\n1. the kind")) == [
        "letters o not a sign – an aside – of 1. the kind"
    ]


def test_numbers_and_nesting_stay():
    text = " 1. first\n   - inner\n     goes on\n 2. second"
    assert paragraphs(long(text)) == ["1. first\n  - inner goes on\n2. second"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" * captures user time\nspent by it", ["- captures user time spent by it"]),
        (" * many kinds of interfaces\n(graphical)", ["- many kinds of interfaces (graphical)"]),
        (
            " * Functions of higher order, with inference, result in designs of\nAda and C.",
            ["- Functions of higher order, with inference, result in designs of Ada and C."],
        ),
        (" * Biology.\nOther uses are rare.", ["- Biology.\nOther uses are rare."]),
        (" * NTFS, Windows NT\nOnly used blocks are copied.", ["- NTFS, Windows NT\nOnly used blocks are copied."]),
    ],
)
def test_the_rest_of_an_item_that_is_not_indented_is_told_from_what_follows_the_list(text, expected):
    assert paragraphs(long(text)) == expected


def test_a_list_beside_names_does_not_swallow_the_next_name():
    assert paragraphs(long(" one\n         - the first\n two - the second")) == [
        "one\n        - the first\ntwo - the second"
    ]


def test_what_is_laid_out_stays_as_it_is():
    text = "Type:\n  $ sudo  do\n    --it\nNow."
    assert paragraphs(long(text)) == ["Type:\n$ sudo  do\n  --it\nNow."]


def test_a_word_that_was_broken_at_its_hyphen_is_one_again():
    assert paragraphs(long("a cross-\nplatform tool for pre-\nand post-processing -\nwell")) == [
        "a cross-platform tool for pre- and post-processing - well"
    ]
