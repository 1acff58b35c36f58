"""C4's line rules: one kernel that writes the lines that stay, and a record per document.

In:  UTF-8 bytes and offsets of a column of texts, in Arrow's layout.
Out: bytes and offsets of the rewritten texts, a record per document, and the number of lines each rule dropped.

Rules apply to a line in the order of C4's code (tensorflow/datasets, c4_utils.py); the first that drops it counts.
White space separates the words of a line; sentences are counted from the words of `words`.
"""

from typing import Any, NamedTuple

import numpy as np

from tasks.clean.compiled import array_kernel, helper, int64
from tasks.clean.rules.quality.characters import DIGIT, IDEOGRAPH, PUNCTUATION, SPACE, TERMINAL, UNSPACED
from tasks.clean.rules.quality.documents import (
    LINE_FEED,
    LINE_FEEDS,
    between_blanks,
    ends_in_ellipsis,
    is_one_of,
    next_byte,
)
from tasks.clean.rules.quality.word_bytes import (
    ASCII,
    EIGHT_ONES,
    ELLIPSIS,
    ZERO,
    bits_at,
    bits_of,
    character_before,
    code_at,
    letters_a_word,
)
from tasks.clean.rules.quality.words import split_words
from tasks.clean.rules.text_bytes import same

LINE_RULES = ("long_word", "no_terminal_mark", "few_words", "script_phrase", "policy_phrase", "blank")
"""Reasons for dropping a line. A blank line has too few words, but is counted separately."""
LONG_WORD, NO_TERMINAL_MARK, FEW_WORDS, SCRIPT_PHRASE, POLICY_PHRASE, BLANK = range(len(LINE_RULES))
STAYS, DROPS_DOCUMENT = -1, -2
"""Other outcomes for a line."""
PLACEHOLDER, SCRIPT, CODE, POLICY = 1, 2, 4, 8
"""Kinds of phrases, in the order of the checks. The first and the third drop the document."""
DROPPED = -1

FOUND = [("phrase", "i8"), ("lines", "i8"), ("sentences", "i8")]
"""Fields of a document's record: the phrase that drops it, numbered from 1 across all kinds; lines that stay, and their
sentences, counted until the minimum is reached."""

BRACKET, CLOSING, CAPITAL_A, CAPITAL_Z, TO_SMALL = (*(ord(character) for character in "[]AZ"), 32)
NOTES = np.frombuffer(b"edit]citation needed]", np.uint8)
NOTE_ENDS = (5, 21)
BRACKETS = EIGHT_ONES * np.uint64(BRACKET)


class Phrases(NamedTuple):
    """Phrases of all kinds in lower case, concatenated."""

    text: Any
    """Bytes [uint8]."""
    ends: Any
    """End offset of each [int64]."""
    kinds: Any
    """Kind of each [uint8]."""
    first: Any
    """Kinds of the phrases that begin with this byte, in either case [256, uint8]."""


class LineOptions(NamedTuple):
    """Settings of the kernel. A disabled rule has a bound that every line meets, or no phrases."""

    terminal: bool
    """Must lines end in a terminal mark?"""
    terminal_marks: Any
    """Code points [int64]."""
    least_words: int
    longest_word: int
    citations: bool
    """Remove citations?"""
    phrases: Phrases
    least_sentences: int


@array_kernel
def rewrite_lines(
    data: Any,
    offsets: Any,
    longest: int,
    chosen: Any,
    options: LineOptions,
    out: Any,
    ends: Any,
    found: Any,
    dropped: Any,
) -> None:
    """Write the chosen [bool] documents without the dropped lines, and all others unchanged.

    Fills `out`, as long as the input, with the texts; `ends` [documents + 1] with its offsets; `found` [documents] with
    records of FOUND; `dropped` [LINE_RULES] with the lines dropped from documents that stay. A document that a rule
    drops is written unchanged.
    """
    words, keys = np.empty((3, longest), np.int32), np.empty(longest, np.uint64)
    pending, counts = np.empty(longest + 1, np.int32), np.zeros(len(LINE_RULES), np.int64)
    ends[0] = 0
    for d in range(len(chosen)):
        text, place = data[offsets[d] : offsets[d + 1]], out[ends[d] :]
        size = DROPPED
        if chosen[d]:
            counts[:] = 0
            size = write_lines(text, options, place, words, keys, pending, found[d], counts)
        if size == DROPPED:
            size = len(text)
            place[:size] = text
        else:
            dropped += counts
        ends[d + 1] = ends[d] + size


@helper
def write_lines(
    text: Any, options: LineOptions, out: Any, words: Any, keys: Any, pending: Any, row: Any, counts: Any
) -> int:
    """Write the lines that stay, separated by line feeds; returns the bytes written, or DROPPED."""
    at, written, lines, sentences = ZERO, ZERO, ZERO, ZERO
    while at < len(text):
        end = next_byte(text, at, len(text), LINE_FEEDS)
        start, stop = between_blanks(text, at, end)
        at = end + 1
        to = write_line(text, start, stop, options.citations, out, written)
        rule = judge_line(text, start, stop, out, written, to, options)
        if rule == DROPS_DOCUMENT:
            row["phrase"] = phrase_in(out, written, to, options.phrases)
            return DROPPED
        if rule != STAYS:
            counts[rule] += 1
            continue
        if to > written and sentences < options.least_sentences:
            sentences += count_sentences(out, words, split_words(out, written, to, words, keys, pending))
        lines += to > written
        # Not after the last line, where `out` may have no room for one more byte, and not before the first.
        if to and at <= len(text):
            out[to] = LINE_FEED
            to += 1
        written = to
    row["lines"], row["sentences"] = lines, sentences
    if not lines or sentences < options.least_sentences:
        return DROPPED
    while out[written - 1] == LINE_FEED:
        written -= 1
    return written


@helper
def write_line(text: Any, start: int, stop: int, citations: bool, out: Any, to: int) -> int:
    """Write a line; with `citations`, without them and surrounding white space. Returns its end in `out`."""
    begin = to
    if not citations or next_byte(text, start, stop, BRACKETS) == stop:
        for k in range(stop - start):
            out[to + k] = text[start + k]
        return to + stop - start
    for at in range(start, stop):
        out[to] = text[at]
        to += 1
        if text[at] == CLOSING:
            to -= citation_before(out, begin, to)
    first, last = between_blanks(out, begin, to)
    for k in range(last - first):
        out[begin + k] = out[first + k]
    return begin + last - first


@helper
def citation_before(out: Any, begin: int, to: int) -> int:
    """Bytes of a `[12]`, `[]`, `[edit]` or `[citation needed]` that ends at `to`, or 0.

    Digits are read once: an unmatched closing bracket stays, and stops the search from the next one.
    """
    at = to - 1
    while at > begin and ASCII[out[at - 1]] & DIGIT:
        at -= 1
    if at > begin and out[at - 1] == BRACKET:
        return to - at + 1
    first = ZERO
    for end in NOTE_ENDS:
        length = end - first
        if to - length > begin and out[to - length - 1] == BRACKET and same(out, to - length, NOTES, first, length):
            return length + 1
        first = int64(end)
    return 0


@helper
def judge_line(text: Any, start: int, stop: int, out: Any, begin: int, end: int, options: LineOptions) -> int:
    """The rule that drops a line, or STAYS or DROPS_DOCUMENT.

    Long words are checked in the original line, in `text`; all other rules read the line without citations, in `out`.
    """
    if stop - start > options.longest_word and longest_word(text, start, stop) > options.longest_word:
        return LONG_WORD
    if begin == end and (options.terminal or options.least_words):
        return BLANK
    if options.terminal:
        last = character_before(out, begin, end)[0]
        if not is_one_of(last, options.terminal_marks) or (last != ELLIPSIS and ends_in_ellipsis(out, begin, end)):
            return NO_TERMINAL_MARK
    if not has_words(out, begin, end, options.least_words):
        return FEW_WORDS
    kinds = kinds_in(out, begin, end, options.phrases)
    if kinds & PLACEHOLDER or (kinds & CODE and not kinds & SCRIPT):
        return DROPS_DOCUMENT
    if kinds & SCRIPT:
        return SCRIPT_PHRASE
    return POLICY_PHRASE if kinds & POLICY else STAYS


@helper
def longest_word(text: Any, at: int, stop: int) -> int:
    """Characters of the longest word between white space; letters of scripts without spaces end one."""
    longest = length = ZERO
    while at < stop:
        bits, width = bits_at(text, at, stop)
        length = ZERO if bits & (SPACE | IDEOGRAPH | UNSPACED) else length + 1
        longest = max(longest, length)
        at += width
    return longest


@helper
def has_words(text: Any, at: int, stop: int, least: int) -> bool:
    """Are there at least `least` words between white space, or of a script without spaces?"""
    words, letters, within = ZERO, ZERO, False
    while at < stop and words < least:
        bits, width = bits_at(text, at, stop)
        if bits & (IDEOGRAPH | UNSPACED):
            words += not within or (letters > 0 and letters % letters_a_word(bits) == 0)
            letters += 1
        elif bits & SPACE:
            letters = ZERO
        else:
            words += not within
        within = not bits & SPACE
        at += width
    return words >= least


@helper
def kinds_in(text: Any, start: int, stop: int, phrases: Phrases) -> int:
    """Kinds of the phrases in a line; ASCII letters match in either case."""
    found = ZERO
    for at in range(start, stop):
        wanted = phrases.first[text[at]] & ~found
        if not wanted:
            continue
        for number in range(len(phrases.ends)):
            if phrases.kinds[number] & wanted and is_phrase(text, at, stop, phrases, number):
                found |= int64(phrases.kinds[number])
    return found


@helper
def phrase_in(text: Any, start: int, stop: int, phrases: Phrases) -> int:
    """The phrase that drops a document, numbered from 1: the line's first placeholder, else its first code phrase."""
    code = ZERO
    for at in range(start, stop):
        for number in range(len(phrases.ends)):
            kind = phrases.kinds[number]
            asked = kind == PLACEHOLDER or (kind == CODE and not code)
            if asked and is_phrase(text, at, stop, phrases, number):
                if kind == PLACEHOLDER:
                    return number + 1
                code = number + 1
    return code


@helper
def is_phrase(text: Any, at: int, stop: int, phrases: Phrases, number: int) -> bool:
    """Does the phrase begin at `at`?"""
    k = phrases.ends[number - 1] if number else ZERO
    end = phrases.ends[number]
    if at + end - k > stop:
        return False
    while k < end and small(text[at]) == phrases.text[k]:
        k, at = k + 1, at + 1
    return k == end


@helper
def small(byte: int) -> int:
    """An ASCII letter in lower case; any other byte unchanged."""
    return byte + TO_SMALL if CAPITAL_A <= byte <= CAPITAL_Z else byte


@helper
def count_sentences(text: Any, words: Any, count: int) -> int:
    """Sentences of a line, at least one: the first word after a terminal mark begins the next.

    Pure punctuation, such as a quotation mark or bracket, belongs to the sentence before it.
    """
    sentences, ended = 1, False
    for k in range(count):
        at, stop = int64(words[0, k]), int64(words[1, k])
        code, width = code_at(text, at, stop)
        bits = bits_of(code)
        if bits & TERMINAL and at + width == stop:
            ended = True
            continue
        while bits & PUNCTUATION and at + width < stop:
            at += width
            code, width = code_at(text, at, stop)
            bits = bits_of(code)
        if ended and not bits & PUNCTUATION:
            sentences += 1
            ended = False
    return sentences
