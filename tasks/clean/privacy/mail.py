"""E-mail addresses: a local part of the characters that providers allow, at a domain under a top-level domain.

    local part   letters, digits, . _ % + ' - ; begins with a letter or digit, ends in neither . nor ', no two dots in a
                 row, at most 64 bytes (RFC 5321, section 4.5.3.1)
    domain       labels of letters, digits and inner hyphens, at most 63 bytes each, 253 in all (RFC 1035, section
                 2.3.4)

Letters are those of ASCII and of Latin with diacritics (`müller.de`). A top-level domain is one of the root zone, which
tells `joe@site.com` from `icon@2x.png`. Where it is followed by a dot and more, the longest domain counts, but a
capital after a small letter begins a new sentence: `joe@site.com.Then`.
"""

from tasks.clean.compiled import helper
from tasks.clean.privacy.characters import ALPHANUMERIC, IS_UPPER, IS_WORD, Text, hashes, is_among, table
from tasks.clean.privacy.top_level import TOP_LEVEL_DOMAINS

LONGEST_LOCAL, LONGEST_LABEL, LONGEST_DOMAIN = 64, 63, 253

BEGINS_LOCAL = table(ALPHANUMERIC)
IN_LOCAL = table(ALPHANUMERIC + "._%+'-")
IN_LABEL = table(ALPHANUMERIC + "-")
TOP_LEVEL = hashes(TOP_LEVEL_DOMAINS.split())


@helper
def mail(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The address around the `@` at a place, (-1, -1) where there is none."""
    start = _local(text, at, begin)
    if start < 0:
        return -1, -1
    stop = _domain(text, at + 1, end)
    return (start, stop) if stop > 0 else (-1, -1)


@helper
def _latin(first: int, second: int) -> bool:
    """Are these two bytes one of À…ɏ (U+00C0 to U+024F), but × and ÷?"""
    if first < 0xC3 or first > 0xC9 or second < 0x80 or second > (0xBF if first < 0xC9 else 0x8F):
        return False
    return not (first == 0xC3 and (second == 0x97 or second == 0xB7))


@helper
def _local(text: Text, at: int, begin: int) -> int:
    """Where the local part that ends at a place begins; -1 where there is none."""
    i = start = at
    while i > begin and at - i <= LONGEST_LOCAL:
        byte = text[i - 1]
        if byte < 0x80:
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
    """Where the longest domain that begins at a place stops; -1 where there is none."""
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
        if stop < i or i + 1 >= end or text[i] != ord("."):
            return found
        if found == stop and IS_UPPER[text[i + 1]] and not IS_UPPER[text[label]]:
            return found
        label = i + 1


@helper
def _label(text: Text, start: int, end: int) -> int:
    """Where the letters, digits and hyphens that begin at a place stop."""
    i = start
    while i < end:
        if IN_LABEL[text[i]]:
            i += 1
        elif i + 1 < end and _latin(text[i], text[i + 1]):
            i += 2
        else:
            break
    return i
