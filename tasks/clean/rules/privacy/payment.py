"""Payment numbers: cards and international bank accounts, both with a valid checksum.

Cards have no separators, or a space or hyphen between groups of 4-4-4-4 (and up to 3 more digits), 4-6-5 or 4-6-4. If
the issuer has no numbers that long, the extra digits are a security code. Four groups next to another group of four
digits are a series of numbers, unless the groups after them are also a card. Account numbers have no separators, or one
after every fourth character, which may be a tab.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.clean.compiled import helper
from tasks.clean.rules.privacy.characters import (
    BLANK,
    HYPHEN,
    IS_DIGIT,
    IS_UPPER,
    IS_WORD,
    Text,
    before_blank,
    begins,
    digits_from,
    number_at,
    separator,
    stops,
)

ISSUERS: tuple[tuple[int, int, int, int], ...] = (
    (4, 4, 16, 16),  # Visa; 13 digits are no longer issued, 19 hardly ever were
    (51, 55, 16, 16),  # Mastercard
    (2221, 2720, 16, 16),
    (34, 34, 15, 15),  # American Express
    (37, 37, 15, 15),
    (6011, 6011, 16, 19),  # Discover
    (644, 659, 16, 19),
    (300, 305, 14, 19),  # Diners Club
    (3095, 3095, 14, 19),
    (36, 36, 14, 19),
    (38, 39, 14, 19),
    (3528, 3589, 16, 19),  # JCB
    (62, 62, 16, 19),  # UnionPay
    (81, 81, 16, 19),
    (2200, 2204, 16, 19),  # Mir
    (5018, 5018, 16, 19),  # Maestro
    (5020, 5020, 16, 19),
    (5038, 5038, 16, 19),
    (5893, 5893, 16, 19),
    (6304, 6304, 16, 19),
    (6759, 6759, 16, 19),
    (6761, 6763, 16, 19),
    (60, 60, 16, 16),  # RuPay
    (82, 82, 16, 16),
    (508, 508, 16, 16),
)
"""First and last prefix, minimum and maximum digits, by the issuer identification numbers (ISO/IEC 7812) that issuers
publish. Maestro's lengths below 16, which are no longer issued, are left out."""

ACCOUNT_LENGTHS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
    "DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 "
    "HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 "
    "MC:27 MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 "
    "RO:24 RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 "
    "VA:22 VG:24 XK:20 YE:30"
)
"""Characters of an account number by country (SWIFT, IBAN Registry, release 99)."""

LEAST_DIGITS, MOST_DIGITS = 14, 19


def _account_lengths() -> NDArray[np.int64]:
    found = np.zeros((26, 26), np.int64)
    for item in ACCOUNT_LENGTHS.split():
        found[ord(item[0]) - ord("A"), ord(item[1]) - ord("A")] = int(item[3:])
    return found


def _card_lengths() -> NDArray[np.int64]:
    """Card lengths by first four digits, as bits: bit 16 for 16 digits."""
    found = np.zeros(10_000, np.int64)
    for low, high, least, most in ISSUERS:
        scale = 10 ** (4 - len(str(low)))
        found[low * scale : (high + 1) * scale] |= sum(1 << length for length in range(least, most + 1))
    return found


LENGTH_BY_COUNTRY, LENGTHS_BY_PREFIX = _account_lengths(), _card_lengths()


@helper
def credit_card(text: Text, at: int, begin: int, end: int) -> int:
    """End of the card number with its first digit at `at`; -1 if none."""
    first = digits_from(text, at, end)
    if first > MOST_DIGITS or (first < LEAST_DIGITS and first != 4) or not begins(text, at, begin):
        return -1
    if first >= LEAST_DIGITS:
        return _card_end(text, number_at(text, at, first, 0), first, at + first, end)
    return _grouped_card(text, at, begin, end)


@helper
def _grouped_card(text: Text, at: int, begin: int, end: int) -> int:
    """The same for a card with four digits in its first group."""
    kind, _ = separator(text, at + 4, end)
    if (kind != BLANK and kind != HYPHEN) or (kind == BLANK and _is_four(text, before_blank(text, at, begin), begin)):
        return -1
    value, digits, stop = _groups(text, at, end, kind)
    following, length = _group(text, stop, end, kind)
    if digits == 16 and length == 4:  # a series of numbers, or consecutive cards
        other, other_digits, other_stop = _groups(text, following, end, kind)
        if _card_end(text, other, other_digits, other_stop, end) < 0:
            return -1
    return _card_end(text, value, digits, stop, end)


@helper
def _groups(text: Text, at: int, end: int, kind: int) -> tuple[int, int, int]:
    """Value, number of digits (0 if none) and end of the groups with their first four digits at `at`."""
    second, length = _group(text, at + 4, end, kind)
    value = number_at(text, second, length, number_at(text, at, 4, 0))
    third, third_length = _group(text, second + length, end, kind)
    if length == 6 and (third_length == 4 or third_length == 5):
        return number_at(text, third, third_length, value), 10 + third_length, third + third_length
    fourth, fourth_length = _group(text, third + third_length, end, kind)
    if length != 4 or third_length != 4 or fourth_length != 4:
        return 0, 0, at
    value = number_at(text, fourth, 4, number_at(text, third, 4, value))
    fifth, length = _group(text, fourth + 4, end, kind)
    if 0 < length < 4 and LENGTHS_BY_PREFIX[value // 10**12] >> (16 + length) & 1:
        return number_at(text, fifth, length, value), 16 + length, fifth + length
    return value, 16, fourth + 4


@helper
def _group(text: Text, at: int, end: int, kind: int) -> tuple[int, int]:
    """Start and number of the digits after a separator of this kind."""
    found, width = separator(text, at, end)
    return (at + width, digits_from(text, at + width, end)) if found == kind else (at, 0)


@helper
def _card_end(text: Text, value: int, digits: int, stop: int, end: int) -> int:
    return stop if digits and stops(text, stop, end) and _is_card(value, digits) else -1


@helper
def _is_four(text: Text, stop: int, begin: int) -> bool:
    """Do exactly four digits end at `stop`?"""
    if stop < begin + 4:
        return False
    for i in range(stop - 4, stop):
        if not IS_DIGIT[text[i]]:
            return False
    return stop - 4 == begin or not IS_DIGIT[text[stop - 5]]


@helper
def _is_card(value: int, digits: int) -> bool:
    """Does an issuer use this prefix and length, and is the check digit valid (Luhn 1960; ISO/IEC 7812-1, annex B)?"""
    top = value
    for _ in range(digits - 4):
        top //= 10
    if not 0 <= top < 10000 or not LENGTHS_BY_PREFIX[top] >> digits & 1:
        return False
    total, doubled = 0, False
    while value:
        digit = value % 10 * 2 if doubled else value % 10
        total += digit - 9 if digit > 9 else digit
        value //= 10
        doubled = not doubled
    return total % 10 == 0


@helper
def iban(text: Text, at: int, begin: int, end: int) -> int:
    """End of the account number with its country code at `at`; -1 if none.

    Checksum: with the first four characters moved to the end and letters as 10 to 35, the number is 1 modulo 97
    (ISO 13616-1, section 6.1; ISO/IEC 7064, MOD 97-10).
    """
    if end - at < 15 or (at > begin and IS_WORD[text[at - 1]]) or not (IS_UPPER[text[at]] and IS_UPPER[text[at + 1]]):
        return -1
    length = LENGTH_BY_COUNTRY[text[at] - ord("A"), text[at + 1] - ord("A")]
    grouped, _ = _joint(text, at + 4, end)
    if length == 0 or (grouped != 0 and grouped != BLANK and grouped != HYPHEN):
        return -1
    rest, check, i = 0, 0, at
    for k in range(length):
        if grouped and k and k % 4 == 0:
            kind, width = _joint(text, i, end)
            if kind != grouped:
                return -1
            i += width
        if i >= end or not (IS_DIGIT[text[i]] or (IS_UPPER[text[i]] and k != 2 and k != 3)):
            return -1
        if k < 4:
            check = _append(check, text[i])
        else:
            rest = _append(rest, text[i]) % 97
        i += 1
    check_digits = check % 100
    if not 2 <= check_digits <= 98 or (i < end and IS_WORD[text[i]]):
        return -1
    return i if (rest * 1_000_000 + check) % 97 == 1 else -1


@helper
def _joint(text: Text, at: int, end: int) -> tuple[int, int]:
    """A `separator`, or a tab as a BLANK."""
    if at < end and text[at] == ord("\t"):
        return BLANK, 1
    return separator(text, at, end)


@helper
def _append(number: int, character: int) -> int:
    """`number` with a digit, or a letter as two digits, appended."""
    if character <= ord("9"):
        return number * 10 + character - ord("0")
    return number * 100 + character - ord("A") + 10
