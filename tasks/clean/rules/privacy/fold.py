"""Folds digits of all scripts, full-width forms and their kin to the ASCII that the search knows.

Of a text with some of them a folded copy is searched, and what is found there is moved to where it stands in the text.
"""

import unicodedata
from typing import Any

import numpy as np

from tasks.clean.compiled import helper, kernel
from tasks.clean.rules.privacy.characters import ALPHANUMERIC, Marks, Numbers, Text, table
from tasks.clean.rules.text_bytes import character_at
from tasks.clean.spans import END, ROW, START

FIRST, LAST = 0x660, 0x1FBF9
"""Code points of the first and the last digit beyond ASCII."""
FULL_WIDTH = range(0xFF01, 0xFF5F)
ALIKE = {"\u3000": " ", "\u2010": "-", "\u2212": "-", "\ufe63": "-", "\ufe62": "+", "\ufe6b": "@", "\ufe52": "."}
"""Ideographic space; hyphen, minus sign and small forms."""
MATTERS = table(ALPHANUMERIC + "@+(")
"""A text is folded if it has one of these."""


def _ascii_forms() -> Text:
    """The ASCII character that a code point is folded to, 0 if it is not [LAST + 1]."""
    found = np.zeros(LAST + 1, np.uint8)
    digits = [unicodedata.decimal(chr(code), -1) for code in range(FIRST, LAST + 1)]
    found[FIRST:] = [ord("0") + digit if digit >= 0 else 0 for digit in digits]
    found[FULL_WIDTH] = np.arange(len(FULL_WIDTH)) + ord("!")
    for character, form in ALIKE.items():
        found[ord(character)] = ord(form)
    return found


def _leads() -> Marks:
    """Which bytes begin a character that matters [256]."""
    found = np.zeros(256, np.bool_)
    found[[chr(code).encode()[0] for code in np.flatnonzero(MATTERS[FORMS]).tolist()]] = True
    return found


FORMS = _ascii_forms()
LEADS = _leads()


@helper
def folded(text: Any, at: int, end: int) -> tuple[int, int]:
    """The ASCII character that the one at a byte is folded to, 0 if it is not, and its width in bytes."""
    code, width = character_at(text, at, end)
    return FORMS[code] if code <= LAST else 0, width


@helper
def matters(text: Any, start: int, stop: int, end: int) -> bool:
    """Does a character that begins in [start, stop) matter?"""
    for at in range(start, stop):  # noqa: SIM110 (numba has no generators within kernels)
        if LEADS[text[at]] and MATTERS[folded(text, at, end)[0]]:
            return True
    return False


@kernel
def fold(data: Text, offsets: Numbers, rows: Numbers, out: Text, out_offsets: Numbers) -> None:
    """Write the folded texts of these rows to `out` and their offsets to `out_offsets` [rows + 1]."""
    there = out_offsets[0] = 0
    for k in range(len(rows)):
        at, end = offsets[rows[k]], offsets[rows[k] + 1]
        while at < end:
            form, width = folded(data, at, end)
            if form:
                out[there] = form
                there, at = there + 1, at + width
            else:
                for byte in range(width):
                    out[there + byte] = data[at + byte]
                there, at = there + width, at + width
        out_offsets[k + 1] = there


@kernel
def unfold(data: Text, offsets: Numbers, rows: Numbers, out_offsets: Numbers, found: Numbers) -> None:
    """Move matches [found, 4], sorted, from the folded texts to the texts."""
    row, at, there = -1, 0, 0
    for k in range(len(found)):
        if found[k, ROW] != row:
            row = found[k, ROW]
            at, there = offsets[rows[row]], out_offsets[row]
        found[k, ROW] = rows[row]
        for field in (START, END):
            while there < found[k, field]:
                form, width = folded(data, at, offsets[rows[row] + 1])
                at, there = at + width, there + (1 if form else width)
            found[k, field] = at
