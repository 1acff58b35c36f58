"""Phone numbers: with a country code, or national ones in common groupings.

    +49 30 1234567, +44 (0)20 7946 0958, (+33) 1 23 45 67 89, 0049 30 1234567
        an ITU-T E.164 country code, then as many digits as its numbers have, in groups of any size
    (212) 555-0123, 212-555-0123, 1 212 555 0123
        North America: 3-3-4 digits, with area code and exchange by the North American Numbering Plan
    020 7946 0958, 01 23 45 67 89, 030/1234567, 0171 1234567, 03-1234-5678, (02) 9876 5432, …
        elsewhere: a leading zero, in one of ZERO_SHAPES
    138 1234 5678, (11) 91234-5678, (495) 123-45-67
        Chinese mobile numbers, Brazilian and Russian numbers

Separators are a space, hyphen, dot or slash. National numbers without separators are ignored, and so are groups that
continue: a number written with spaces must not adjoin another number. This spares dates, times, versions, series and
amounts.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper
from tasks.clean.rules.privacy.characters import (
    BLANK,
    DOT,
    IS_DIGIT,
    IS_WORD,
    SLASH,
    Text,
    begins,
    beside_number,
    digits_from,
    separator,
    stops,
)

COUNTRY_CODES = (
    "1:10 7:10 20:8-10 27:9 30:10 31:9 32:8-9 33:9 34:9 36:8-9 39:8-11 40:9 41:9 43:7-13 44:9-10 45:8 46:7-10 47:8 "
    "48:9 49:7-12 51:8-9 52:10 53:8 54:10-11 55:10-11 56:9 57:10 58:10 60:8-10 61:9 62:8-12 63:8-10 64:8-10 65:8 "
    "66:8-9 81:9-10 82:8-11 84:9-10 86:10-11 90:10 91:10 92:9-10 93:9 94:9 95:7-10 98:10 211:9 212:9 213:8-9 216:8 "
    "218:9 220:7 221:9 222:8 223:8 224:8-9 225:10 226:8 227:8 228:8 229:8-10 230:7-8 231:7-9 232:8 233:9 234:8-10 "
    "235:8 236:8 237:9 238:7 239:7 240:9 241:7-8 242:9 243:7-9 244:9 245:7-9 246:7 248:7 249:9 250:9 251:9 252:7-9 "
    "253:8 254:9 255:9 256:9 257:8 258:8-9 260:9 261:9 262:9 263:8-9 264:8-9 265:7-9 266:8 267:7-8 268:8 269:7 290:5 "
    "291:7 297:7 298:6 299:6 350:8 351:9 352:6-11 353:7-9 354:7-9 355:8-9 356:8 357:8 358:6-11 359:7-9 370:8 371:8 "
    "372:7-8 373:8 374:8 375:9 376:6-9 377:8-9 378:8-10 380:9 381:8-9 382:8 383:8 385:8-9 386:8 387:8 389:8 420:9 "
    "421:9 423:7-9 500:5 501:7 502:8 503:8 504:8 505:8 506:8 507:7-8 508:6 509:8 590:9 591:8 592:7 593:8-9 594:9 "
    "595:8-9 596:9 597:6-7 598:8 599:7-8 670:7-8 672:6 673:7 674:7 675:7-8 676:5-7 677:5-7 678:5-7 679:7 680:7 681:6 "
    "682:5 683:4-7 685:5-7 686:5-8 687:6 688:5-6 689:6-8 690:4-7 691:7 692:7 850:8-10 852:8 853:8 855:8-9 856:8-10 "
    "880:8-10 886:8-9 960:7 961:7-8 962:8-9 963:8-9 964:8-10 965:8 966:9 967:7-9 968:8 970:8-9 971:8-9 972:8-9 973:8 "
    "974:8 975:7-8 976:8 977:8-10 992:9 993:8 994:9 995:9 996:9 998:9"
)
"""Country codes (ITU-T E.164, annex to Operational Bulletin 1114), with the minimum and maximum digits after each, by
the numbering plans that countries publish (E.129)."""

NATIONAL_ZERO = (39, 225, 229, 241, 242, 378)
"""Country codes after which a zero is part of the number."""

LEAST_DIGITS = 8
"""Minimum digits of an international number, including its country code."""

ZERO_SHAPES = (
    "2-2-2-2-2 "  # France, Morocco
    "3-4-4 4-3-4 5-6 5-5 5-3-3 4-3-3 "  # United Kingdom, Australia, Belgium
    "2-4-4 3-3-4 4-2-4 2-3-4 "  # Japan, Korea, Australia, New Zealand, Israel, Thailand
    "2-7 2-8 3-6 3-7 3-8 4-5 4-6 4-7 4-8 5-7 "  # Germany, Austria, Italy, the Netherlands, China
    "3-3-2-2 2-3-2-2 4-2-2-2 3-2-2-2 4-3-2-2"  # Switzerland, Belgium, Sweden, Turkey
)
"""Digits per group of national numbers that begin with a zero."""
DOTTED = "2-2-2-2-2"
"""The only one of these written with dots."""

NORTH_AMERICA, WITH_ONE, CHINA, BRAZIL, BRAZIL_MOBILE, RUSSIA = 0x334, 0x1334, 0x344, 0x244, 0x254, 0x3322
MOST_GROUPS, LONGEST_FIRST, LONGEST_GROUP = 5, 5, 8

NEVER, OPEN, DONE = range(3)
"""State of the one pair of brackets that an international number may have."""


def _shape(text: str) -> int:
    """`3-3-4` as 0x334."""
    return int(text.replace("-", ""), 16)


def _country_codes() -> NDArray[np.int64]:
    """Minimum and maximum digits by country code [1000, 2]; zeros if unassigned."""
    found = np.zeros((1000, 2), np.int64)
    for item in COUNTRY_CODES.split():
        code, _, digits = item.partition(":")
        least, _, most = digits.partition("-")
        found[int(code)] = int(least), int(most or least)
    return found


DIGITS_BEHIND = _country_codes()
SHAPES = np.array(sorted(map(_shape, ZERO_SHAPES.split())))
FRENCH = _shape(DOTTED)


@helper
def international(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The number with its first digit, after a plus or the first of `00`, at `at`; (-1, -1) if none."""
    start, code_at = at, at
    if at > begin and text[at - 1] == ord("+"):
        start = at - 1
        if start > begin and (IS_WORD[text[start - 1]] or text[start - 1] == ord("+")):
            return -1, -1
    elif text[at] == ord("0") and digits_from(text, at, end) <= 5 and begins(text, at, begin):
        code_at = at + 2
        if code_at >= end or text[at + 1] != ord("0") or beside_number(text, at, at, begin, end):
            return -1, -1
    else:
        return -1, -1
    code, length = _country(text, code_at, end)
    if code == 0 or (start == at and digits_from(text, code_at, end) != length):
        return -1, -1
    opened = start < at and start > begin and text[start - 1] == ord("(")
    opened = opened and code_at + length < end and text[code_at + length] == ord(")")
    stop = _subscriber(text, code_at + length, end, code, length, OPEN if opened else NEVER)
    if stop < 0:
        return -1, -1
    return (start - 1 if opened else start), stop


@helper
def _country(text: Text, at: int, end: int) -> tuple[int, int]:
    """The country code at `at` and its number of digits; (0, 0) if none."""
    code = 0
    for k in range(3):
        if at + k >= end or not IS_DIGIT[text[at + k]]:
            return 0, 0
        code = code * 10 + text[at + k] - ord("0")
        if code and DIGITS_BEHIND[code, 1]:
            return code, k + 1
        if code == 0:
            return 0, 0
    return 0, 0


@helper
def _subscriber(text: Text, at: int, end: int, code: int, code_length: int, brackets: int) -> int:
    """End of the groups after a country code, as many as its numbers may have; -1 if there are too few digits.

    The first group may directly follow the code; either one group or the code may be in brackets.
    """
    least, most = max(DIGITS_BEHIND[code, 0], LEAST_DIGITS - code_length), DIGITS_BEHIND[code, 1]
    digits, i, found = 0, at, -1
    while digits <= most:
        group, now = _joint(text, i, end, brackets)
        length = digits_from(text, group, end)
        if length == 0 or (group == i and i > at) or (brackets == OPEN and now == OPEN):
            break
        i, brackets = group + length, now
        if brackets == OPEN and digits == 0 and length == 1 and text[group] == ord("0"):
            continue  # (0) is not dialed from abroad
        if (digits and length == 1) or not _may_follow(text, group, length, digits, code):
            break
        digits += length
        if least <= digits <= most and brackets != OPEN and stops(text, i, end) and not _goes_on(text, i, end):
            found = i
    return found


@helper
def _joint(text: Text, at: int, end: int, brackets: int) -> tuple[int, int]:
    """End of the separator of two groups (`) `, `-`, ` (`), and the state of brackets after it: NEVER, OPEN or DONE."""
    i = at
    if brackets == OPEN and i < end and text[i] == ord(")"):
        i, brackets = i + 1, DONE
    _, width = separator(text, i, end)
    i += width
    if brackets == NEVER and i < end and text[i] == ord("("):
        i, brackets = i + 1, OPEN
    return i, brackets


@helper
def _may_follow(text: Text, at: int, length: int, digits: int, code: int) -> bool:
    """Can these digits follow the first `digits` digits after a country code?"""
    if code == 1:  # neither the area code nor the exchange begins with 0 or 1
        area, exchange = at - digits, at - digits + 3
        begins_low = digits == 0 and text[area] < ord("2")
        return not begins_low and not (at <= exchange < at + length and text[exchange] < ord("2"))
    return digits > 0 or text[at] != ord("0") or code in NATIONAL_ZERO


@helper
def _goes_on(text: Text, at: int, end: int) -> bool:
    """Do a slash and a digit follow?"""
    return at + 1 < end and text[at] == ord("/") and IS_DIGIT[text[at + 1]]


@helper
def national(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The number with its first digit, possibly in brackets, at `at`; (-1, -1) if none."""
    first = digits_from(text, at, end)
    behind = at + first
    opened = at > begin and text[at - 1] == ord("(") and behind < end and text[behind] == ord(")")
    start = at - 1 if opened else at
    if first > LONGEST_FIRST or not begins(text, start, begin) or (start > begin and text[start - 1] == ord(")")):
        return -1, -1
    if opened:
        behind += 1
    kind, width = separator(text, behind, end)
    second = behind + width
    if (kind == 0 and not opened) or second >= end or not IS_DIGIT[text[second]]:
        return -1, -1
    if kind == BLANK and not opened and beside_number(text, start, start, begin, end):
        return -1, -1
    shape, third, stop, later = _groups(text, first, second, end)
    if shape < 0 or later == SLASH or not stops(text, stop, end) or _goes_on(text, stop, end):
        return -1, -1
    if not opened and (kind == BLANK or later == BLANK) and beside_number(text, start, stop, begin, end):
        return -1, -1
    return (start, stop) if _is_number(text, at, second, third, shape, opened, kind, later) else (-1, -1)


@helper
def _groups(text: Text, first: int, second: int, end: int) -> tuple[int, int, int, int]:
    """Read the groups from the second on while their separator stays the same. Returns the shape of all groups, the
    start of the third, the end of the last, and the separator. The shape is -1 if they are too many or too long."""
    shape, i, third, later = first, second, second, 0
    for group in range(1, MOST_GROUPS + 1):
        length = digits_from(text, i, end)
        if length > LONGEST_GROUP or group == MOST_GROUPS:
            break
        shape = shape << 4 | length
        stop = i + length
        kind, width = separator(text, stop, end)
        if kind == 0 or (later and kind != later) or stop + width >= end or not IS_DIGIT[text[stop + width]]:
            return shape, third, stop, later
        i, later = stop + width, kind
        if group == 1:
            third = i
    return -1, third, i, later


@helper
def _is_number(text: Text, at: int, second: int, third: int, shape: int, opened: bool, kind: int, later: int) -> bool:
    """Does any country write numbers in these groups, with these separators after the first group and the others?"""
    dots = kind == DOT or later == DOT
    plain = not dots and kind != SLASH
    if text[at] == ord("0"):
        known = False
        for zero_shape in SHAPES:
            known |= zero_shape == shape
        dots &= kind != later or shape != FRENCH
        return known and text[at + 1] != ord("0") and not dots
    if shape == NORTH_AMERICA:
        return _is_area(text, at) and _is_exchange(text, second)
    if shape == WITH_ONE:
        return text[at] == ord("1") and not opened and _is_area(text, second) and _is_exchange(text, third)
    if shape == CHINA:
        return plain and not opened and text[at] == ord("1") and text[at + 1] >= ord("3")
    if shape == BRAZIL_MOBILE:
        return plain and opened and text[second] == ord("9")
    if shape == BRAZIL:
        return plain and opened and ord("2") <= text[second] <= ord("5")
    return shape == RUSSIA and plain and opened and text[at] >= ord("3")


@helper
def _is_area(text: Text, at: int) -> bool:
    """Numbering plan area: N0X to N8X, except N11; N is 2 to 9."""
    return _is_exchange(text, at) and text[at + 1] != ord("9")


@helper
def _is_exchange(text: Text, at: int) -> bool:
    """Central office: NXX, except N11; N is 2 to 9."""
    return text[at] >= ord("2") and not (text[at + 1] == ord("1") and text[at + 2] == ord("1"))
