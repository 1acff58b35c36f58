"""One pass over the bytes of a column: it stops at trigger bytes and judges the text around them.

Triggers are `@`, the first digit of several, `:`, `-`, `_` and a few letters that tokens begin with: about one byte in
fifty of English text. Judging reads at most a few hundred bytes, or bytes that few other triggers read, so the time is
linear.
"""

import numpy as np

from tasks.clean.compiled import helper, kernel, read_only
from tasks.clean.rules.privacy.characters import (
    DIGITS,
    DOT,
    IS_DIGIT,
    IS_WORD,
    Marks,
    Numbers,
    Text,
    digits_from,
    separator,
    table,
)
from tasks.clean.rules.privacy.credentials import PREFIXES, access_token, bot_token, jwt, private_key, trigger
from tasks.clean.rules.privacy.fold import LEADS, fold, matters, unfold
from tasks.clean.rules.privacy.ip import GROUPS, NOT_IN_USE, ipv4, ipv6
from tasks.clean.rules.privacy.mail import IN_LOCAL, LONGEST_LOCAL, mail
from tasks.clean.rules.privacy.payment import LEAST_DIGITS, credit_card, iban
from tasks.clean.rules.privacy.phone import international, national
from tasks.clean.rules.privacy.settings import KINDS
from tasks.clean.rules.privacy.social_security import us_ssn
from tasks.clean.spans import END, KIND, ROW, START

EMAIL, PRIVATE_KEY, JWT, ACCESS_TOKEN, IBAN, CREDIT_CARD, IPV6, IPV4, US_SSN, PHONE = range(len(KINDS))
assert " ".join(KINDS) == "email private_key jwt access_token iban credit_card ipv6 ipv4 us_ssn phone"

OTHER, DIGIT, AT, COLON, HYPHEN, J, PREFIX, FOREIGN = range(8)
"""Classes of bytes: not a trigger, or what to look for around it."""
FARTHEST = LONGEST_LOCAL
"""Maximum bytes between the start of a match and its trigger: that of the @ of an address."""
IN_BEGINNING = IN_LOCAL | table(":") | (np.arange(256) >= 0x80)
"""Bytes that may occur between them."""
NO_SPACE, TO_FOLD = -1, -2
FEW, SELDOM = 64, 256
"""Initial space for matches: FEW, plus one per SELDOM bytes."""


def _triggers() -> Text:
    """The class of every byte [256]."""
    found = np.where(LEADS, FOREIGN, OTHER).astype(np.uint8)
    found[[ord(trigger(prefix)[1]) for prefix in PREFIXES]] = PREFIX
    for characters, kind in ((DIGITS, DIGIT), ("@", AT), (":", COLON), ("-", HYPHEN), ("J", J)):
        found[table(characters)] = kind
    return found


def _worth() -> Marks:
    """Which bytes may precede each class of trigger in a match [8, 256]; byte 0 stands for the start of a text."""
    worth = np.zeros((8, 256), np.bool_)
    worth[[DIGIT, COLON, FOREIGN]] = True
    worth[AT] = IN_LOCAL
    worth[AT, 0x80:] = True
    worth[J, ord("y")] = True
    for prefix in PREFIXES:
        place, character = trigger(prefix)
        worth[HYPHEN if character == "-" else PREFIX, ord(prefix.text[place - 1])] = True
    return worth


TRIGGERS, WORTH = _triggers(), _worth()


def search(data: Text, offsets: Numbers, ranges: Marks) -> Numbers:
    """All matches [found, 4]: row, start, end and kind, in order. If matches overlap, the first wins, then the first
    kind. Each match counts as a placeholder: the text begins anew after it.

    data     UTF-8 bytes of a column
    offsets  boundaries of its texts [texts + 1]
    ranges   which IP ranges to find [as numbered in `ip`]
    """
    found, rows = _search(data, offsets, ranges)
    if not len(rows):
        return found
    copy, ends = np.empty((offsets[rows + 1] - offsets[rows]).sum(), np.uint8), np.empty(len(rows) + 1, np.int64)
    fold(data, offsets, rows, copy, ends)
    more, _ = _search(read_only(copy), read_only(ends), ranges)
    unfold(data, offsets, rows, ends, more)
    found = np.concatenate((found, more))
    return found[np.argsort(found[:, ROW], kind="stable")]


def _search(data: Text, offsets: Numbers, ranges: Marks) -> tuple[Numbers, Numbers]:
    """The matches in texts that need no folding; and the rows of the others."""
    found, count, row = np.empty((FEW + len(data) // SELDOM, 4), np.int64), 0, 0
    groups, folding = np.empty(GROUPS, np.int64), np.zeros(len(offsets) - 1, np.bool_)
    while True:
        count, row = search_rows(data, offsets, ranges, groups, folding, found, count, row)
        if row == len(offsets) - 1:
            return found[:count], np.flatnonzero(folding)
        found = np.concatenate((found, np.empty_like(found)))


@kernel
def search_rows(
    data: Text, offsets: Numbers, ranges: Marks, groups: Numbers, folding: Marks, found: Numbers, count: int, row: int
) -> tuple[int, int]:
    """Append the matches of the texts from `row` on to the `count` in `found`; mark those that need `folding`. Returns
    the new count, and the row for which space ran out, or the number of rows."""
    while row < len(offsets) - 1:
        more = _search_text(data, row, offsets[row], offsets[row + 1], ranges, groups, found, count)
        if more == NO_SPACE:
            break
        folding[row] = more == TO_FOLD
        count, row = count if folding[row] else more, row + 1
    return count, row


@helper
def _search_text(
    text: Text, row: int, begin: int, end: int, ranges: Marks, groups: Numbers, found: Numbers, count: int
) -> int:
    """Append the matches of one text to the `count` in `found`; returns the new count, NO_SPACE or TO_FOLD.

    The match found first may not begin first: the search continues as long as an earlier one could turn up, then
    resumes at the end of the earliest."""
    left = at = begin
    first, stop, kind, byte = -1, -1, -1, np.uint8(0)
    while True:
        while first < 0 and at < end and not TRIGGERS[text[at]]:
            at += 1
        if at < end:
            byte, previous = text[at], text[at - 1] if at > left else np.uint8(0)
            what = TRIGGERS[byte]
            if what and (WORTH[what, previous] or (what == HYPHEN and _is_marker(text, at, end))):
                if what == FOREIGN and matters(text, at, at + 1, end):
                    return TO_FOLD
                new, new_stop, new_kind = _judge(text, at, left, end, ranges, groups, what)
                if new_stop > 0 and (first < 0 or new < first or (new == first and new_kind < kind)):
                    first, stop, kind = new, new_stop, new_kind
                while what == DIGIT and at + 1 < end and IS_DIGIT[text[at + 1]]:
                    at += 1
            at += 1
        elif first < 0:
            return count
        if first >= 0 and (at >= end or at > first + FARTHEST or not IN_BEGINNING[byte]):
            if count == len(found):
                return NO_SPACE
            if matters(text, first, stop, end):
                return TO_FOLD
            found[count, ROW], found[count, START], found[count, END], found[count, KIND] = row, first, stop, kind
            left = at = stop
            count, first = count + 1, -1


@helper
def _judge(
    text: Text, at: int, begin: int, end: int, ranges: Marks, groups: Numbers, what: int
) -> tuple[int, int, int]:
    """The match around `at`: start, end and kind; the end is -1 if none."""
    if what == FOREIGN:
        return at, -1, OTHER
    if what == DIGIT:
        return _judge_digits(text, at, begin, end, ranges)
    if what == AT:
        start, stop = mail(text, at, begin, end)
        return start, stop, EMAIL
    if what == COLON:
        start, stop = bot_token(text, at, begin, end)
        if stop > 0:
            return start, stop, ACCESS_TOKEN
        start, stop, known = ipv6(text, at, begin, end, groups)
        return start, stop if known != NOT_IN_USE and ranges[known] else -1, IPV6
    if what == J:
        start, stop = jwt(text, at, begin, end)
        return start, stop, JWT
    if what == HYPHEN and at + 1 < end and text[at + 1] == ord("-"):
        stop = private_key(text, at, end)
        if stop > 0:
            return at, stop, PRIVATE_KEY
    start, stop = access_token(text, at, begin, end)
    return start, stop, ACCESS_TOKEN


@helper
def _is_marker(text: Text, at: int, end: int) -> bool:
    """Can five hyphens and a B begin here?"""
    return at + 5 < end and text[at + 1] == ord("-") and text[at + 5] == ord("B")


@helper
def _judge_digits(text: Text, at: int, begin: int, end: int, ranges: Marks) -> tuple[int, int, int]:
    """The same for the first of several digits."""
    before = text[at - 1] if at > begin else np.uint8(0)
    if IS_WORD[before]:
        return at - 2, iban(text, at - 2, begin, end) if at - 2 >= begin else -1, IBAN
    if before == ord(".") or before == ord("-"):
        return at, -1, PHONE
    length = digits_from(text, at, end)
    kind, width = separator(text, at + length, end)
    if not _may_be_number(text, length, before, kind, at + length + width, end):
        return at, -1, PHONE
    if length == 4 or length >= LEAST_DIGITS:
        stop = credit_card(text, at, begin, end)
        if stop > 0:
            return at, stop, CREDIT_CARD
    if kind == DOT:
        stop, known = ipv4(text, at, begin, end)
        if stop > 0:
            return at, stop if ranges[known] else -1, IPV4
    if length == 3:
        stop = us_ssn(text, at, begin, end)
        if stop > 0:
            return at, stop, US_SSN
    start, stop = international(text, at, begin, end)
    if stop < 0:
        start, stop = national(text, at, begin, end)
    return start, stop, PHONE


@helper
def _may_be_number(text: Text, length: int, before: int, kind: int, following: int, end: int) -> bool:
    """Is there a plus or bracket before, as many digits as cards have, or a separator and more digits? If not, as
    nearly always in prose, there is nothing to find."""
    if before == ord("+") or before == ord("(") or length >= LEAST_DIGITS:
        return True
    return following < end and (text[following] == ord("(") or (kind != 0 and IS_DIGIT[text[following]]))
