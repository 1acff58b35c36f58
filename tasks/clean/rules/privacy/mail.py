"""Email addresses: a local part of the characters that providers allow, at a domain under a known top-level domain.

    local part   letters, digits, . _ % + ' - ; begins with a letter or digit, does not end in . or ', no two dots in a
                 row, at most 64 bytes (RFC 5321, section 4.5.3.1)
    domain       labels of letters, digits and inner hyphens, at most 63 bytes each, 253 in total (RFC 1035, section
                 2.3.4), with full stops or their ideographic and full-width forms between (RFC 3490, section 3.1)

Letters are ASCII and Latin with diacritics (`müller.de`); a domain label that begins with a letter of another script
may have letters and marks of all scripts (`joe@пример.рф`), and so may a local part whose last letter is of a script
with spaces between words (`иван@пример.рф`); without spaces, nothing shows where it begins. The top-level domain is in
the root zone, written in ASCII (`xn--p1ai`) or decoded in lower case, which distinguishes `joe@site.com` from
`icon@2x.png`. If a dot and more follow, the longest domain counts, but a capital after a lower-case label begins a new
sentence: `joe@site.com.Then`.

A remote is not an address: `git@github.com:user/repo.git`, `deploy@site.com:/srv/app`, `joe@site.com::backup`,
`ssh://git@site.com/repo`, `https://joe@site.com/repo.git`.
"""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper
from tasks.clean.rules.near.words import WITHOUT_BLANKS
from tasks.clean.rules.privacy.characters import (
    ALPHANUMERIC,
    IS_DIGIT,
    IS_LETTER,
    IS_UPPER,
    IS_WORD,
    Text,
    hashes,
    is_among,
    table,
)
from tasks.clean.rules.privacy.fold import FULL_WIDTH
from tasks.clean.rules.privacy.top_level import TOP_LEVEL_DOMAINS, shown
from tasks.clean.rules.text_bytes import same

LONGEST_LOCAL, LONGEST_LABEL, LONGEST_DOMAIN = 64, 63, 253

BEGINS_LOCAL = table(ALPHANUMERIC)
IN_LOCAL = table(ALPHANUMERIC + "._%+'-")
IN_NAME = table(ALPHANUMERIC + "._~+-")
"""Of a file or folder."""
SCHEMES = np.frombuffer(b"sshftp://", np.uint8)
GIT = np.frombuffer(b".git", np.uint8)
IN_LABEL = table(ALPHANUMERIC + "-")
TOP_LEVEL = hashes({form for name in TOP_LEVEL_DOMAINS.split() for form in (name, shown(name))})
FIRST_OTHER = 0x250
"""The first code point after Latin with diacritics."""


def _other_letters() -> NDArray[np.bool_]:
    """Which code points of the Basic Multilingual Plane are non-Latin letters or marks [65536]."""
    found = np.zeros(1 << 16, np.bool_)
    found[FIRST_OTHER:] = [unicodedata.category(chr(code))[0] in "LM" for code in range(FIRST_OTHER, 1 << 16)]
    found[FULL_WIDTH] = False
    return found


def _of_spaced_scripts() -> NDArray[np.bool_]:
    """The same without scripts that have no spaces between words."""
    found = OTHER_LETTERS.copy()
    for first, last in WITHOUT_BLANKS:
        found[first : last + 1] = False
    return found


OTHER_LETTERS = _other_letters()
SPACED_LETTERS = _of_spaced_scripts()


@helper
def mail(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The address around the `@` at `at`; (-1, -1) if none."""
    start = _local(text, at, begin)
    if start < 0:
        return -1, -1
    stop = _domain(text, at + 1, end)
    return (start, stop) if stop > 0 and not _is_remote(text, start, at, stop, begin, end) else (-1, -1)


@helper
def _is_remote(text: Text, start: int, at: int, stop: int, begin: int, end: int) -> bool:
    """Is it the host of a path, with or without `ssh://` and its kin?"""
    by_git = at - start == 3 and same(text, start, GIT, 1, 3)
    if start - begin >= 3 and same(text, start - 3, SCHEMES, 6, 3):
        by_scheme = start - begin >= 6 and (
            same(text, start - 6, SCHEMES, 0, 3) or same(text, start - 6, SCHEMES, 3, 3)
        )
        i = stop
        while i < end and ((i > stop and IN_NAME[text[i]]) or text[i] == ord("/") or text[i] == ord(":")):
            i += 1
        return by_git or by_scheme or _ends_in_git(text, stop + 1, i)
    if stop >= end or (text[stop] != ord(":") and not (by_git and text[stop] == ord("/"))):
        return False
    if stop + 2 < end and text[stop + 1] == ord(":") and IN_NAME[text[stop + 2]]:
        return True
    i, port = stop + 1, True
    while i < end and IN_NAME[text[i]]:
        port &= IS_DIGIT[text[i]]
        i += 1
    is_path = text[stop] == ord(":") and i + 1 < end and text[i] == ord("/") and text[i + 1] != ord("/")
    if is_path and (i == stop + 1 or not port):
        return True
    while by_git and text[i - 1] == ord("."):
        i -= 1
    return i > stop + 1 if by_git else _ends_in_git(text, stop + 1, i)


@helper
def _ends_in_git(text: Text, start: int, stop: int) -> bool:
    """Is it a name with `.git` at its end, but for full stops?"""
    while stop > start and text[stop - 1] == ord("."):
        stop -= 1
    return stop > start + len(GIT) and same(text, stop - len(GIT), GIT, 0, len(GIT))


@helper
def _latin(first: int, second: int) -> bool:
    """Are these two bytes one of À…ɏ (U+00C0 to U+024F), except × and ÷?"""
    if first < 0xC3 or first > 0xC9 or second < 0x80 or second > (0xBF if first < 0xC9 else 0x8F):
        return False
    return not (first == 0xC3 and (second == 0x97 or second == 0xB7))


@helper
def _local(text: Text, at: int, begin: int) -> int:
    """Start of the local part that ends at `at`; -1 if none."""
    i = start = at
    while i > begin and at - i <= LONGEST_LOCAL and IN_LOCAL[text[i - 1]] and not IS_LETTER[text[i - 1]]:
        i -= 1
    of_others, i = _spaced_before(text, i, begin) > 0, at
    while i > begin and at - i <= LONGEST_LOCAL:
        byte = text[i - 1]
        other = _spaced_before(text, i, begin) if of_others else 0
        if other:
            i -= other
            start = i
        elif byte < 0x80:
            if not IN_LOCAL[byte] or (byte == ord(".") and i < at and text[i] == ord(".")):
                break
            i -= 1
            if BEGINS_LOCAL[byte]:
                start = i
        elif i - 1 > begin and _latin(text[i - 2], byte):
            i -= 2
            start = i
        else:
            break
    if start == at or at - i > LONGEST_LOCAL or text[at - 1] == ord(".") or text[at - 1] == ord("'"):
        return -1
    return start


@helper
def _domain(text: Text, start: int, end: int) -> int:
    """End of the longest domain that begins at `start`; -1 if none."""
    label, found = start, -1
    while True:
        i = _label(text, label, end)
        stop = i
        while stop > label and text[stop - 1] == ord("-"):
            stop -= 1
        if stop == label or stop - label > LONGEST_LABEL or stop - start > LONGEST_DOMAIN or text[label] == ord("-"):
            return found
        at_word = stop == i and i < end and (IS_WORD[text[i]] or (i + 1 < end and _latin(text[i], text[i + 1])))
        if label > start and not at_word and is_among(TOP_LEVEL, text, label, stop):
            found = stop
        dot = _dot(text, i, end)
        if stop < i or not dot or i + dot >= end:
            return found
        if found == stop and IS_UPPER[text[i + dot]] and not IS_UPPER[text[label]]:
            return found
        label = i + dot


@helper
def _dot(text: Text, at: int, end: int) -> int:
    """Bytes of the full stop at `at`: `.`, `。` (U+3002), `．` (U+FF0E) or `｡` (U+FF61); 0 if none."""
    if at < end and text[at] == ord("."):
        return 1
    if at + 2 >= end:
        return 0
    first, second, third = text[at], text[at + 1], text[at + 2]
    if first == 0xE3:
        return 3 if second == 0x80 and third == 0x82 else 0
    wide = first == 0xEF and ((second == 0xBC and third == 0x8E) or (second == 0xBD and third == 0xA1))
    return 3 if wide else 0


@helper
def _label(text: Text, start: int, end: int) -> int:
    """End of the letters, digits and hyphens from `start` on."""
    i = start
    of_others = _other(text, start, end) > 0
    while i < end:
        if IN_LABEL[text[i]]:
            i += 1
        elif i + 1 < end and _latin(text[i], text[i + 1]):
            i += 2
        elif of_others and _other(text, i, end) > 0:
            i += _other(text, i, end)
        else:
            break
    return i


@helper
def _spaced_before(text: Text, at: int, begin: int) -> int:
    """Bytes of the letter or mark, of another script with spaces between words, that ends at `at`; 0 if none."""
    if at - 2 < begin or text[at - 1] & 0xC0 != 0x80:
        return 0
    width = 2 if text[at - 2] & 0xC0 != 0x80 else 3
    if at - width < begin or _other(text, at - width, at) != width:
        return 0
    code = np.int64(text[at - 2] & 0x3F) << 6 | text[at - 1] & 0x3F
    code = np.int64(text[at - 2] & 0x1F) << 6 | text[at - 1] & 0x3F if width == 2 else code
    code = code if width == 2 else np.int64(text[at - 3] & 0x0F) << 12 | code
    return width if SPACED_LETTERS[code] else 0


@helper
def _other(text: Text, at: int, end: int) -> int:
    """Bytes of the letter or mark of another script at `at`; 0 if none."""
    if at + 1 < end and 0xC9 <= text[at] < 0xE0:
        return 2 if OTHER_LETTERS[np.int64(text[at] & 0x1F) << 6 | text[at + 1] & 0x3F] else 0
    if at + 2 < end and 0xE0 <= text[at] < 0xF0:
        code = np.int64(text[at] & 0x0F) << 12 | np.int64(text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F
        return 3 if OTHER_LETTERS[code] else 0
    return 0
