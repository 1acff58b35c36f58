"""IP addresses: IPv4 as four decimal numbers, IPv6 as in RFC 4291, section 2.2; and which of them are public.

IPv4: no leading zeros, and not a version number: not after `v`, a word like "version" or "section", a name and a
slash (`Chrome/`), a dot, hyphen, plus or tilde, nor before one of these and a letter or digit (`1.2.3.4.5`,
`1.2.3.4-rc1`).

IPv6: only blocks in use, which distinguishes addresses from C++ `a::b`, times, MAC addresses and fingerprints. Sources:
IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890) and its IPv6 global unicast assignments.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper
from tasks.clean.rules.privacy.characters import (
    IS_DIGIT,
    IS_LETTER,
    IS_WORD,
    Text,
    begins,
    digits_from,
    hashes,
    is_among,
    number_at,
    stops,
    table,
)
from tasks.clean.rules.privacy.settings import SPECIAL

WORDS = (
    "article build chapter clause edition firmware kernel paragraph rel release rev revision sec section v ver version "
    "versions"
)
"""Words before the number of a version or section."""

NOT_IN_USE = -1
PUBLIC = len(SPECIAL)
PRIVATE, LOOPBACK, LINK_LOCAL, DOCUMENTATION, RESERVED = range(PUBLIC)
assert SPECIAL == ("private", "loopback", "link_local", "documentation", "reserved")

VERSION_WORDS = hashes(WORDS.split())
LONGEST_VERSION_WORD = max(map(len, WORDS.split()))
IS_HEX = table("0123456789abcdefABCDEF")
GROUPS = 8


@helper
def ipv4(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """End and range of the address with its first digit at `at`; (-1, NOT_IN_USE) if none."""
    if not begins(text, at, begin) and not _after_path(text, at, begin):
        return -1, NOT_IN_USE
    if at > begin and text[at - 1] == ord("~"):
        return -1, NOT_IN_USE
    value, stop = _quad(text, at, end)
    if stop < 0 or not stops(text, stop, end) or _after_version_word(text, at, begin):
        return -1, NOT_IN_USE
    if stop + 1 < end and text[stop] == ord("~") and IS_WORD[text[stop + 1]]:
        return -1, NOT_IN_USE
    return stop, range_v4(value)


@helper
def _after_path(text: Text, at: int, begin: int) -> bool:
    """Is there a slash that does not end a name: `http://1.2.3.4`?"""
    if text[at - 1] != ord("/"):
        return False
    return at - 1 == begin or not IS_LETTER[text[at - 2]]


@helper
def _after_version_word(text: Text, at: int, begin: int) -> bool:
    """Is there a word for a version or section and a space: `version 1.2.3.4`, `v. 1.2.3.4`?"""
    i = at - 1
    if i <= begin or text[i] != ord(" "):
        return False
    if text[i - 1] == ord("."):
        i -= 1
    start = i
    while start > begin and i - start <= LONGEST_VERSION_WORD and IS_LETTER[text[start - 1]]:
        start -= 1
    if start > begin and IS_WORD[text[start - 1]]:
        return False
    return is_among(VERSION_WORDS, text, start, i)


@helper
def _quad(text: Text, at: int, end: int) -> tuple[int, int]:
    """Value and end of four numbers up to 255, separated by dots; (0, -1) if none."""
    value, i = 0, at
    for part in range(4):
        if part:
            if i >= end or text[i] != ord("."):
                return 0, -1
            i += 1
        length = digits_from(text, i, end)
        if length == 0 or length > 3 or (length > 1 and text[i] == ord("0")):
            return 0, -1
        number = number_at(text, i, length, 0)
        if number > 255:
            return 0, -1
        value = value << 8 | number
        i += length
    return value, i


@helper
def range_v4(value: int) -> int:
    """The range of an address, by the special-purpose registry."""
    top, second, third = value >> 24, value >> 16 & 255, value >> 8 & 255
    if top == 10 or (top == 172 and second >> 4 == 1) or (top == 192 and second == 168):
        return PRIVATE
    if top == 100 and second >> 6 == 1:  # carrier-grade NAT
        return PRIVATE
    if top == 127:
        return LOOPBACK
    if top == 169 and second == 254:
        return LINK_LOCAL
    if top == 192 and second == 0:
        if third == 2:
            return DOCUMENTATION
        return RESERVED if third == 0 else PUBLIC
    if (top == 198 and second == 51 and third == 100) or (top == 203 and second == 0 and third == 113):
        return DOCUMENTATION
    if top == 0 or top >= 224 or (top == 198 and second >> 1 == 9) or (top == 192 and second == 88 and third == 99):
        return RESERVED
    return PUBLIC


@helper
def ipv6(text: Text, at: int, begin: int, end: int, groups: NDArray[np.int64]) -> tuple[int, int, int]:
    """Start, end and range of the address with its first colon at `at`; (-1, -1, NOT_IN_USE) if none.

    `groups` is scratch for eight numbers."""
    none = (-1, -1, NOT_IN_USE)
    if at + 1 >= end or not (IS_HEX[text[at + 1]] or text[at + 1] == ord(":")):
        return none
    start = at
    while start > begin and at - start < 5 and IS_HEX[text[start - 1]]:
        start -= 1
    if start > begin and (IS_WORD[text[start - 1]] or text[start - 1] == ord(":") or text[start - 1] == ord(".")):
        return none
    count, gap, i = _groups(text, start, end, groups)
    if count < 0 or (gap < 0) != (count == GROUPS):
        return none
    if not stops(text, i, end):
        return none
    if i + 1 < end and text[i] == ord(":") and (IS_WORD[text[i + 1]] or text[i + 1] == ord(":")):
        return none
    if gap >= 0:  # move the groups after the gap to the end
        moved = count - gap
        for k in range(1, moved + 1):
            groups[GROUPS - k] = groups[count - k]
        for k in range(gap, GROUPS - moved):
            groups[k] = 0
    kind = range_v6(groups)
    return (start, i, kind) if kind != NOT_IN_USE else none


@helper
def _groups(text: Text, start: int, end: int, groups: NDArray[np.int64]) -> tuple[int, int, int]:
    """Write the groups from `start` on. Returns their number, which of them `::` precedes (-1 if none), and their end.
    The number is -1 if they are not an address. A colon after the last one is punctuation."""
    count, gap, i = 0, -1, start
    if text[i] == ord(":"):
        if i + 1 >= end or text[i + 1] != ord(":"):
            return -1, -1, i
        gap, i = 0, i + 2
    while count < GROUPS:
        stop, value = i, 0
        while stop < end and stop - i < 4 and IS_HEX[text[stop]]:
            byte = text[stop]
            value = value << 4 | (byte - ord("0") if IS_DIGIT[byte] else (byte | 0x20) - ord("a") + 10)
            stop += 1
        if stop == i:
            break
        if stop + 1 < end and text[stop] == ord(".") and IS_DIGIT[text[stop + 1]] and count <= GROUPS - 2:
            quad, quad_stop = _quad(text, i, end)
            if quad_stop < 0:
                return -1, gap, i
            groups[count], groups[count + 1] = quad >> 16, quad & 0xFFFF
            return count + 2, gap, quad_stop
        groups[count] = value
        count, i = count + 1, stop
        if i + 1 >= end or text[i] != ord(":"):
            break
        if text[i + 1] == ord(":"):
            if gap >= 0:
                return -1, gap, i
            gap, i = count, i + 2
        elif IS_HEX[text[i + 1]] and count < GROUPS:
            i += 1
        else:
            break
    return count, gap, i


@helper
def range_v6(groups: NDArray[np.int64]) -> int:
    """The range of an address of eight groups; NOT_IN_USE for unassigned addresses and `::`."""
    first, second = groups[0], groups[1]
    last = groups[6] << 16 | groups[7]
    middle = groups[2] | groups[3] | groups[4]
    if first == 0 and second == 0 and middle == 0:
        if groups[5] == 0xFFFF:  # IPv4-mapped
            return range_v4(last)
        return LOOPBACK if groups[5] == 0 and last == 1 else NOT_IN_USE
    if first == 0x64 and second == 0xFF9B and middle == 0 and groups[5] == 0:  # NAT64
        return range_v4(last)
    if (first == 0x2001 and second == 0xDB8) or (first == 0x3FFF and second < 0x1000):
        return DOCUMENTATION
    if first >> 9 == 0xFC00 >> 9:
        return PRIVATE
    if first >> 6 == 0xFE80 >> 6:
        return LINK_LOCAL
    if first >> 8 == 0xFF:
        return RESERVED
    if 0x2001 <= first <= 0x2003 or (first >> 8 in (0x24, 0x26, 0x28, 0x2A, 0x2C) and first & 0xFF < 0x40):
        return PUBLIC
    return NOT_IN_USE
