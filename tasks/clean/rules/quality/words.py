"""Kernels that split text into words like FineWeb's word tokenizer, except for its rarest rules.

FineWeb uses spaCy's rules for English (datatrove 0.10.1); on Debian's descriptions the words are identical for 98 % of
the documents. Text is cut at white space into chunks. Repeatedly stripped from a chunk, each piece a word:

- at the front: a mark (`characters.MARK`) or a run of full stops;
- at the end: a mark, a run of full stops, `'s`, a `+` after a digit, and a full stop after a digit, a lower-case
  letter, a mark, `+`, `-` or two capitals, but not after initials (`e.g.`, `U.S.`).

A contraction or abbreviation (`contractions.pieces`) ends this and has a fixed split. An address (`a.b/c`, `x@y.org`)
stays whole. Otherwise the rest is split at runs of full stops, `…` and symbols, and at

- `+ - * ^` between digits, a full stop between a small and a capital letter, a comma between letters;
- `: < > = /` and up to three hyphens between a letter or digit and a letter.

In scripts without spaces, two ideographs or kana, or four letters of Thai, Lao, Khmer, Burmese or Tibetan, are a word;
they are counted anew after everything else, and marks beside them are split off.

In: a document's UTF-8 bytes. Out: start, end and key of every word, in linear time.
"""

from typing import Any

from tasks.clean.compiled import helper, int64
from tasks.clean.rules.quality.characters import ALPHABETIC, DIGIT, HYPHEN, LETTER, MARK, SPACE, SYMBOL, UPPER
from tasks.clean.rules.quality.contractions import LONGEST
from tasks.clean.rules.quality.word_bytes import (
    AFTER_HOST,
    APOSTROPHE,
    ASCII,
    AT,
    BETWEEN_DIGITS,
    BETWEEN_WORDS,
    COLON,
    COMMA,
    ELLIPSIS,
    IN_LABEL,
    IN_SCHEME,
    LETTERS_LENGTHS,
    MINUS,
    NO_SPECIAL,
    PLUS,
    POSSESSIVE,
    RIGHT_QUOTE,
    ROLE,
    SLASH,
    SMALL_LETTER,
    SPECIAL_CUTS,
    SPECIAL_KEYS,
    SPECIAL_WORDS,
    STOP,
    STOPPED_LENGTHS,
    WITHIN_LABEL,
    ZERO,
    bits_at,
    bits_of,
    character_before,
    code_at,
    key_of,
    letters_a_word,
    letters_from,
    slot_of,
)
from tasks.clean.rules.text_bytes import same


@helper
def special_at(text: Any, start: int, stop: int, key: Any) -> int:
    """Is it a listed word? The bytes of its first piece, 0 where it stays whole, NO_SPECIAL where it is none."""
    last = len(SPECIAL_KEYS) - 1
    slot = slot_of(key, last)
    while SPECIAL_KEYS[slot] != 0:
        if SPECIAL_KEYS[slot] == key and same(text, start, SPECIAL_WORDS[slot], 0, stop - start):
            return SPECIAL_CUTS[slot]
        slot = (slot + 1) & last
    return NO_SPECIAL


@helper
def split_words(text: Any, start: int, stop: int, found: Any, keys: Any, pending: Any) -> int:
    """All words of a part of a text, in order.

    `found` [3, words] takes the start and the end of each, and how many characters it has if they are letters of ASCII
    and were counted on the way, else 0; `keys` [words] takes the keys; `pending` [bytes + 1] is scratch. All have room
    for as many words as there are bytes. Returns how many there are.
    """
    count, at = ZERO, start
    while at < stop:
        bits, width = bits_at(text, at, stop)
        if bits & SPACE:
            at += width
            continue
        end, first = min(at + letters_from(text, at), stop), count
        # Most chunks are a word, or a word and a mark: they are done here, the others one rule after the other.
        marked = end < stop and not ASCII[text[end]] & SPACE
        if not marked or ends_in_one_mark(text, at, end, stop):
            key = key_of(text, at, end)
            cut = special_at(text, at, end, key) if may_be_special(end - at, LETTERS_LENGTHS) else NO_SPECIAL
            if cut > 0:
                count = put(at, at + cut, found, count)
                count = put(at + cut, end, found, count)
            else:
                count = put(at, end, found, count)
                found[2, first], keys[first] = end - at, key
                first = count
            if marked:
                count = put(end, end + 1, found, count)
                end += 1
        else:
            end = end_of_chunk(text, end, stop)
            count = split_chunk(text, at, end, found, pending, count)
        for k in range(first, count):
            found[2, k] = 0
            keys[k] = key_of(text, int64(found[0, k]), int64(found[1, k]))
        at = end
    return count


@helper
def ends_in_one_mark(text: Any, start: int, end: int, stop: int) -> bool:
    """Stand behind letters of ASCII a mark, or a full stop, that comes off, and then white space?"""
    if end == start or (end + 1 < stop and not ASCII[text[end + 1]] & SPACE):
        return False
    if text[end] != STOP:
        return ASCII[text[end]] & MARK != 0
    if end - start < 2 or (ASCII[text[end - 1]] & UPPER and not ASCII[text[end - 2]] & UPPER):
        return False
    length = end + 1 - start
    if not may_be_special(length, STOPPED_LENGTHS):
        return True
    return special_at(text, start, end + 1, key_of(text, start, end + 1)) == NO_SPECIAL


@helper
def may_be_special(length: int, lengths: int) -> bool:
    """Is a word of so many bytes listed?"""
    return length <= LONGEST and lengths >> length & 1 != 0


@helper
def end_of_chunk(text: Any, at: int, stop: int) -> int:
    """Where the next white space begins."""
    while at < stop:
        bits, width = bits_at(text, at, stop)
        if bits & SPACE:
            return at
        at += width
    return stop


@helper
def put(start: int, stop: int, found: Any, count: int) -> int:
    """One more word; returns how many there are."""
    found[0, count], found[1, count] = start, stop
    return count + 1


@helper
def split_chunk(text: Any, start: int, stop: int, found: Any, pending: Any, count: int) -> int:
    """The words of what stands between white space."""
    depth, cut = 0, NO_SPECIAL
    pending[0] = stop
    while start < stop:
        if stop - start <= LONGEST:
            cut = special_at(text, start, stop, key_of(text, start, stop))
            if cut != NO_SPECIAL:
                break
        width = front(text, start, stop)
        if width:
            count = put(start, start + width, found, count)
            start += width
            continue
        width = back(text, start, stop)
        if not width:
            break
        stop -= width
        depth += 1
        pending[depth] = stop
    if cut > 0:
        count = put(start, start + cut, found, count)
        start += cut
    if cut != NO_SPECIAL:
        count = put(start, stop, found, count)
    elif start < stop:
        count = split_inside(text, start, stop, found, count)
    for k in range(depth, 0, -1):
        count = put(int64(pending[k]), int64(pending[k - 1]), found, count)
    return count


@helper
def front(text: Any, start: int, stop: int) -> int:
    """Bytes of what comes off at the front."""
    if text[start] == STOP:
        run = run_of(text, start, stop, 1)
        return run if run > 1 else 0
    bits, width = bits_at(text, start, stop)
    return width if bits & MARK else 0


@helper
def back(text: Any, start: int, stop: int) -> int:
    """Bytes of what comes off at the end."""
    last, bits, width = character_before(text, start, stop)
    if bits & MARK:
        return width
    before, bits, wide = character_before(text, start, stop - width)
    if last == STOP:
        if before == STOP:
            run = 2
            while stop - run > start and text[stop - run - 1] == STOP:
                run += 1
            return run
        return 1 if ends_in_stop(text, start, stop, before, bits, wide) else 0
    if text[stop - 1] < 0x80 and ROLE[text[stop - 1]] & POSSESSIVE and is_apostrophe(before):
        return width + wide
    return 1 if last == PLUS and bits & DIGIT else 0


@helper
def is_apostrophe(code: int) -> bool:
    """Of a typewriter, or of print."""
    return code in (APOSTROPHE, RIGHT_QUOTE)


@helper
def ends_in_stop(text: Any, start: int, stop: int, before: int, bits: int, wide: int) -> bool:
    """Does the full stop at the end come off? `before`, `bits`, `wide`: the character before it."""
    if stop - start <= LONGEST and initials(text, start, stop):
        return False
    if bits & (DIGIT | MARK) or before in (MINUS, PLUS):
        return True
    if not bits & UPPER:
        return bits & LETTER != 0
    _, bits, _ = character_before(text, start, stop - 1 - wide)
    return bits & UPPER != 0


@helper
def initials(text: Any, start: int, stop: int) -> bool:
    """Single letters, each with a full stop."""
    while start < stop:
        bits, width = bits_at(text, start, stop)
        start += width
        if not bits & ALPHABETIC or start >= stop or text[start] != STOP:
            return False
        start += 1
    return True


@helper
def run_of(text: Any, at: int, stop: int, width: int) -> int:
    """How often the character of so many bytes at a place is there in a row, from this place on."""
    run = 1
    while at + (run + 1) * width <= stop and same(text, at, text, at + run * width, width):
        run += 1
    return run


@helper
def split_inside(text: Any, start: int, stop: int, found: Any, count: int) -> int:
    """The words of a chunk from which nothing comes off at its ends."""
    begin, at, before, address, letters = start, start, ZERO, False, ZERO
    while at < stop:
        bits = int64(ASCII[text[at]])
        if bits & (LETTER | DIGIT) and not letters:
            before = bits
            at += 1
            continue
        code, width = code_at(text, at, stop)
        bits = bits_of(code)
        length, size, beside = ZERO, letters_a_word(bits), letters > 0
        if size and letters and letters < size:
            letters += 1
        elif size or (letters and (bits & ALPHABETIC or not bits & LETTER)):  # not a mark of a letter
            if at > begin:
                count = put(begin, at, found, count)
            begin, letters = at, int64(size > 0)
        if at > start:
            length = splitter(text, at, stop, code, bits, width, before)
            if not length and bits & MARK and (beside or is_unspaced(text, at + width, stop)):
                length = width
        if length:
            if not address and is_address(text, start, stop):
                break
            address = True
            if at > begin:
                count = put(begin, at, found, count)
            count = put(at, at + length, found, count)
            begin = at + length
            width = length
        before = bits
        at += width
    return put(begin, stop, found, count) if begin < stop else count


@helper
def is_unspaced(text: Any, at: int, stop: int) -> bool:
    """Is a letter of a script without spaces at a place?"""
    return at < stop and letters_a_word(bits_at(text, at, stop)[0]) > 0


@helper
def splitter(text: Any, at: int, stop: int, code: int, bits: int, width: int, before: int) -> int:
    """Bytes of what splits a word at a place, or 0. `before`: classes of the character before it."""
    if code == STOP and at + 1 < stop and text[at + 1] == STOP:
        return run_of(text, at, stop, 1)
    if code == ELLIPSIS or bits & SYMBOL:
        return width
    if at + width >= stop:
        return 0
    after, _ = bits_at(text, at + width, stop)
    role = ROLE[text[at]]
    if role & BETWEEN_DIGITS and before & DIGIT and after & DIGIT:
        return 1
    if code == STOP:
        return 1 if before & LETTER and not before & UPPER and after & UPPER else 0
    if code == COMMA:
        return 1 if before & LETTER and after & LETTER else 0
    if not before & (LETTER | DIGIT):
        return 0
    if bits & HYPHEN:
        run = min(run_of(text, at, min(stop, at + 3 * width), width), 3)
        if run > 1 and at + run * width < stop:
            after, _ = bits_at(text, at + run * width, stop)
        return run * width if after & LETTER and at + run * width < stop else 0
    return 1 if role & BETWEEN_WORDS and after & LETTER else 0


@helper
def is_address(text: Any, start: int, stop: int) -> bool:
    """Is it `host.name`, with a scheme, a user, a port or a path, or without, and in a script with spaces?"""
    at = start
    while at < stop:
        bits, width = bits_at(text, at, stop)
        if letters_a_word(bits):
            return False
        at += width
    at = start
    while at < stop and ROLE[text[at]] & IN_SCHEME:
        at += 1
    scheme = at - start > 1 and at + 2 < stop
    scheme = scheme and text[at] == COLON and text[at + 1] == SLASH and text[at + 2] == SLASH
    if is_host(text, at + 3 if scheme else start, stop):
        return True
    at = start
    while at < stop and text[at] != AT:
        at += 1
    return start < at < stop and is_host(text, at + 1, stop)


@helper
def is_host(text: Any, at: int, stop: int) -> bool:
    """Labels with full stops between them, the last of small letters; then nothing, or a port or a path."""
    label, labels, small = at, 0, True
    while at < stop:
        byte = text[at]
        role = ROLE[byte]
        if byte == STOP:
            if at == label or ROLE[text[at - 1]] & WITHIN_LABEL:
                return False
            label, labels, small = at + 1, labels + 1, True
        elif role & WITHIN_LABEL:
            if at == label:
                return False
            small = False
        elif role & IN_LABEL or byte >= 0x80:
            small = small and role & SMALL_LETTER != 0
        else:
            break
        at += 1
    if not (labels and small and 2 <= at - label <= 63):
        return False
    if at < stop and text[at] == COLON:
        port = at + 1
        at = port
        while at < stop and ASCII[text[at]] & DIGIT:
            at += 1
        if not 2 <= at - port <= 5:
            return False
    return at == stop or ROLE[text[at]] & AFTER_HOST != 0
