"""Measures of documents: one kernel that reads a column's bytes and writes one record per document.

In:  UTF-8 bytes and offsets of a column of texts, in Arrow's layout.
Out: a record of `MEASURES` per document; an empty whole gives a share of 0.

Only `\\n` ends a line: an earlier rewrite has turned all other line ends into line feeds.
"""

from typing import Any, NamedTuple

import numpy as np

from tasks.clean.compiled import array_helper, array_kernel, helper, int64
from tasks.clean.rules.quality.characters import ALPHABETIC, IDEOGRAPH, PUNCTUATION, SPACE, TERMINAL, UNSPACED
from tasks.clean.rules.quality.repetition import (
    duplicate_characters,
    first_numbers,
    next_numbers,
    top_characters,
)
from tasks.clean.rules.quality.word_bytes import (
    EIGHT_ONES,
    HIGH_BITS,
    LONG,
    STOP,
    U1,
    ZERO,
    bits_at,
    character_before,
    cleared,
    code_at,
    count_of,
    eight,
    equal_bytes,
    first_of,
    hash_of,
    slot_of,
    slots_for,
)
from tasks.clean.rules.quality.words import split_words
from tasks.clean.rules.text_bytes import same

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
MEASURES = [
    ("words", "f8"),
    ("mean_word_length", "f8"),
    ("hashes_per_word", "f8"),
    ("ellipses_per_word", "f8"),
    ("bullet_lines", "f8"),
    ("ellipsis_lines", "f8"),
    ("alphabetic_words", "f8"),
    ("stop_words", "f8"),
    ("duplicate_lines", "f8"),
    ("duplicate_paragraphs", "f8"),
    ("duplicate_line_characters", "f8"),
    ("duplicate_paragraph_characters", "f8"),
    ("top_gram_characters", "f8", len(TOP)),
    ("duplicate_gram_characters", "f8", len(DUPLICATE)),
    ("punctuated_lines", "f8"),
    ("short_lines", "f8"),
    ("duplicate_characters_of_lines", "f8"),
    ("newlines_per_word", "f8"),
]
"""Fields of a document's record. `duplicate_characters_of_lines` is FineWeb's: characters of duplicate non-blank lines
over all characters except line ends."""
LINE_FEED, HASH, LAST_OF_ELLIPSIS = ord("\n"), ord("#"), "…".encode()[-1]
LINE_FEEDS, HASHES, STOPS, LASTS_OF_ELLIPSIS = (
    EIGHT_ONES * np.uint64(byte) for byte in (LINE_FEED, HASH, STOP, LAST_OF_ELLIPSIS)
)
"""Each byte repeated eight times."""
NEXT_BYTE = np.uint64(8)


class Options(NamedTuple):
    """Settings of the kernel, as arrays."""

    gopher: bool
    """Measure paragraphs and words? FineWeb's rules need only lines and the number of words."""
    repetition: bool
    """Count n-grams?"""
    bullets: Any
    """Code points that begin a list item [int64]."""
    stop_words: Any
    """Bytes of all stop words, concatenated [uint8]."""
    stop_ends: Any
    """End offset of each [int64]."""
    stop_keys: Any
    """Key of each [uint64]."""
    short: int
    """Maximum characters of a short line."""


class Room(NamedTuple):
    """Scratch for a number of words or lines, reused for every document."""

    starts: Any
    lengths: Any
    """Per distinct word or line: its first position, and its bytes."""
    slots: Any
    keys: Any
    """Hash tables; the number of slots is a power of two, at least twice the number of entries."""
    counts: Any
    characters: Any
    kinds: Any
    """Per distinct word: its count, its characters, its IS_* bits."""
    words: Any
    before: Any
    """Per word: its number, and the characters of all words before it."""
    numbers: Any
    places: Any
    tally: Any
    firsts: Any
    seen: Any
    """For n-grams (`repetition`)."""


IS_WORD, IS_ALPHABETIC, IS_UNSPACED = 1, 2, 4
UNSPACED_LENGTH = 5
"""Characters of a word of a script without spaces, for the mean: about those of an English word."""


@array_helper
def room_for(count: int) -> Room:
    """Scratch for `count` words. The operating system allocates pages only when they are touched."""
    size = slots_for(count)
    return Room(
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.uint64),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.uint8),
        np.empty(count, np.int32),
        np.empty(count + 1, np.int32),
        np.empty(count + 1, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
        np.empty(count, np.uint8),
    )


@array_kernel
def measure_documents(data: Any, offsets: Any, longest: int, chosen: Any, options: Options, out: Any) -> None:
    """Fill `out` [documents] of MEASURES for the chosen [bool] documents; `offsets` is [documents + 1]."""
    found = np.empty((3, longest), np.int32)
    keys, pending = np.empty(longest, np.uint64), np.empty(longest + 1, np.int32)
    room = room_for(int64(1024))
    for d in range(len(chosen)):
        if not chosen[d]:
            continue
        text, row = data[offsets[d] : offsets[d + 1]], out[d]
        size, newlines, hashes, ellipses = counts_of(text)
        count = split_words(text, ZERO, len(text), found, keys, pending)
        if max(count, newlines + 1) > len(room.starts):
            room = room_for(2 * max(count, newlines + 1))
        measure_lines(text, size, newlines, options, room, row)
        row["hashes_per_word"], row["ellipses_per_word"] = share(hashes, count), share(ellipses, count)
        row["newlines_per_word"] = share(newlines, count)
        if options.gopher:
            measure_paragraphs(text, size, newlines, room, row)
            measure_words(text, found, keys, count, options, room, row)
            if options.repetition:
                measure_repetition(size, count, room, row)


@helper
def share(part: float, whole: int) -> float:
    """0 if the whole is 0."""
    return part / whole if whole else 0.0


@helper
def counts_of(text: Any) -> tuple[int, int, int, int]:
    """Counts of code points, line feeds, `#` and ellipses."""
    size, newlines, hashes, ellipses, at = len(text), ZERO, ZERO, ZERO, ZERO
    dotted = False
    while at + 8 <= len(text):
        here = eight(text, at)
        size -= count_of(continuations(here))
        newlines += count_of(equal_bytes(here, LINE_FEEDS))
        hashes += count_of(equal_bytes(here, HASHES))
        # Of three full stops in a row, at least two are in the same eight bytes.
        stops = equal_bytes(here, STOPS)
        dotted |= (stops & stops >> NEXT_BYTE | equal_bytes(here, LASTS_OF_ELLIPSIS)) != 0
        at += 8
    if dotted or at < len(text):
        ellipses = ellipses_in(text, ZERO if dotted else max(ZERO, at - 2))
    while at < len(text):
        size -= text[at] & 0xC0 == 0x80
        newlines += text[at] == LINE_FEED
        hashes += text[at] == HASH
        at += 1
    return size, newlines, hashes, ellipses


@helper
def continuations(bytes_there: Any) -> Any:
    """The high bit of each of eight bytes that is a UTF-8 continuation byte."""
    return bytes_there & ~(bytes_there << U1) & HIGH_BITS


@helper
def ellipses_in(text: Any, at: int) -> int:
    """Number of `...` and `…` from a position on. Six full stops count as two."""
    start, found, run = at, 0, 0
    while at < len(text):
        byte = text[at]
        at += 1
        run = run + 1 if byte == STOP else 0
        if run == 3:
            found, run = found + 1, 0
        elif byte == LAST_OF_ELLIPSIS and ends_in_ellipsis(text, start, at):
            found += 1
    return found


@helper
def characters_in(text: Any, start: int, stop: int) -> int:
    """Code points between two positions."""
    size = stop - start
    while start + 8 <= stop:
        size -= count_of(continuations(eight(text, start)))
        start += 8
    while start < stop:
        size -= text[start] & 0xC0 == 0x80
        start += 1
    return size


@helper
def next_byte(text: Any, at: int, stop: int, eight_times: Any) -> int:
    """Position of the next such byte, or `stop`."""
    while at + 8 <= stop:
        there = equal_bytes(eight(text, at), eight_times)
        if there:
            return at + first_of(there)
        at += 8
    byte = eight_times & np.uint64(0xFF)
    while at < stop and text[at] != byte:
        at += 1
    return at


@helper
def number_of(text: Any, start: int, stop: int, key: Any, room: Room, mask: int, used: int) -> int:
    """The number of these bytes if they were seen before; otherwise they get the next one, `used`.

    A hash only finds candidates: their bytes are compared.
    """
    slots, keys, starts, lengths = room.slots, room.keys, room.starts, room.lengths
    slot = slot_of(key, mask)
    while slots[slot] >= 0:
        number = int64(slots[slot])
        if keys[slot] == key and (
            key < LONG
            or (lengths[number] == stop - start and same(text, start, text, int64(starts[number]), stop - start))
        ):
            return number
        slot = (slot + 1) & mask
    slots[slot], keys[slot] = used, key
    starts[used], lengths[used] = start, stop - start
    return used


@helper
def measure_lines(text: Any, size: int, newlines: int, options: Options, room: Room, row: Any) -> None:
    """Measure the beginnings and ends of lines, short lines and duplicates."""
    mask, used = cleared(room.slots, newlines + 1), ZERO
    lines = filled = written = bullets = ellipses = punctuated = short = 0
    repeated = repeated_characters = repeated_written = 0
    at = ZERO
    while at < len(text):
        start, stop = at, next_byte(text, at, len(text), LINE_FEEDS)
        at = stop + 1
        lines += 1
        if stop == start:
            continue
        first, last = between_blanks(text, start, stop)
        characters = characters_in(text, start, stop)
        number = number_of(text, start, stop, hash_of(text, start, stop), room, mask, used)
        if number == used:
            used += 1
        else:
            repeated += 1
            repeated_characters += characters
            repeated_written += characters if last > first else 0
        filled += 1
        if last == first:
            continue
        written += 1
        bullets += is_one_of(code_at(text, first, last)[0], options.bullets)
        ellipses += ends_in_ellipsis(text, first, last)
        punctuated += character_before(text, start, stop)[1] & TERMINAL != 0
        short += characters <= options.short
    row["bullet_lines"], row["ellipsis_lines"] = share(bullets, lines), share(ellipses, lines)
    row["duplicate_lines"] = share(repeated, filled)
    row["duplicate_line_characters"] = share(repeated_characters, size)
    row["punctuated_lines"], row["short_lines"] = share(punctuated, written), share(short, written)
    row["duplicate_characters_of_lines"] = share(repeated_written, size - newlines)


@helper
def between_blanks(text: Any, start: int, stop: int) -> tuple[int, int]:
    """Start and end of the text without surrounding white space; equal if it is blank."""
    while start < stop:
        bits, width = bits_at(text, start, stop)
        if not bits & SPACE:
            break
        start += width
    while stop > start:
        _, bits, width = character_before(text, start, stop)
        if not bits & SPACE:
            break
        stop -= width
    return start, stop


@helper
def is_one_of(code: int, codes: Any) -> bool:
    """Is a code point in a short list?"""
    for other in codes:  # noqa: SIM110 (numba kernels have no generators)
        if code == other:
            return True
    return False


@helper
def ends_in_ellipsis(text: Any, start: int, stop: int) -> bool:
    """Does it end in `...` or `…`?"""
    if stop - start < 3:
        return False
    last = text[stop - 3], text[stop - 2], text[stop - 1]
    return last == (STOP, STOP, STOP) or last == (0xE2, 0x80, 0xA6)


@helper
def measure_paragraphs(text: Any, size: int, newlines: int, room: Room, row: Any) -> None:
    """Measure duplicate paragraphs, separated by two or more line feeds; white space around the text is ignored."""
    mask, used = cleared(room.slots, newlines + 1), ZERO
    paragraphs = repeated = repeated_characters = 0
    at, end = between_blanks(text, ZERO, len(text))
    while at < end:
        start, at = at, next_byte(text, at, end, LINE_FEEDS)
        while at < end and text[at + 1] != LINE_FEED:  # the last character is not a line feed
            at = next_byte(text, at + 1, end, LINE_FEEDS)
        number = number_of(text, start, at, hash_of(text, start, at), room, mask, used)
        if number == used:
            used += 1
        else:
            repeated += 1
            repeated_characters += characters_in(text, start, at)
        paragraphs += 1
        while at < end and text[at] == LINE_FEED:
            at += 1
    row["duplicate_paragraphs"] = share(repeated, paragraphs)
    row["duplicate_paragraph_characters"] = share(repeated_characters, size)


@helper
def measure_words(text: Any, found: Any, keys: Any, count: int, options: Options, room: Room, row: Any) -> None:
    """Number the words; count those with a letter, those that are not only punctuation, and distinct stop words."""
    counts, characters, kinds = room.counts, room.characters, room.kinds
    numbers, before = room.words, room.before
    mask, used = cleared(room.slots, count), ZERO
    before[0] = 0
    for k in range(count):
        start, stop = int64(found[0, k]), int64(found[1, k])
        number = number_of(text, start, stop, keys[k], room, mask, used)
        if number == used:
            used += 1
            counts[number] = 0
            characters[number], kinds[number] = found[2, k], IS_WORD | IS_ALPHABETIC
            if not found[2, k]:
                characters[number], kinds[number] = look_at_word(text, start, stop)
        counts[number] += 1
        numbers[k] = number
        before[k + 1] = before[k] + characters[number]
    words = length = alphabetic = 0
    for number in range(used):
        times = int64(counts[number])
        if kinds[number] & IS_WORD:
            words += times
            length += times * (UNSPACED_LENGTH if kinds[number] & IS_UNSPACED else characters[number])
        if kinds[number] & IS_ALPHABETIC:
            alphabetic += times
    row["words"] = words
    row["mean_word_length"] = share(length, words)
    row["alphabetic_words"] = share(alphabetic, count)
    row["stop_words"] = stop_words_in(text, options, room, mask)


@helper
def look_at_word(text: Any, start: int, stop: int) -> tuple[int, int]:
    """Characters and IS_* bits of a word: not only punctuation, has a letter."""
    characters = kind = 0
    while start < stop:
        bits, width = bits_at(text, start, stop)
        kind |= (0 if bits & PUNCTUATION else IS_WORD) | (IS_ALPHABETIC if bits & ALPHABETIC else 0)
        kind |= IS_UNSPACED if bits & (IDEOGRAPH | UNSPACED) else 0
        characters += 1
        start += width
    return characters, kind


@helper
def stop_words_in(text: Any, options: Options, room: Room, mask: int) -> int:
    """How many of the stop words are among the numbered words."""
    slots, keys, starts, lengths = room.slots, room.keys, room.starts, room.lengths
    there, begin = 0, ZERO
    for k in range(len(options.stop_ends)):
        key, length = options.stop_keys[k], options.stop_ends[k] - begin
        slot = slot_of(key, mask)
        while slots[slot] >= 0:
            number = int64(slots[slot])
            alike = keys[slot] == key and lengths[number] == length
            if alike and same(text, int64(starts[number]), options.stop_words, begin, length):
                there += 1
                break
            slot = (slot + 1) & mask
        begin = options.stop_ends[k]
    return there


@helper
def measure_repetition(size: int, count: int, room: Room, row: Any) -> None:
    """Measure the characters of the most frequent n-grams and of duplicate n-grams, over all characters."""
    numbers, places, tally, firsts = room.numbers, room.places, room.tally, room.firsts
    there = first_numbers(room.words, room.counts, count, numbers, places)
    for n in range(2, DUPLICATE[-1] + 1):
        there, given = next_numbers(numbers, places, there, count - n + 1, tally, firsts, room.keys, room.slots)
        if n <= TOP[-1]:
            characters = top_characters(n, count, tally, firsts, given, room.before)
            row["top_gram_characters"][n - TOP[0]] = min(share(characters, size), 1.0)
        else:
            characters = duplicate_characters(n, numbers, places, there, given, room.before, room.seen)
            row["duplicate_gram_characters"][n - DUPLICATE[0]] = share(characters, size)
        if not there and n >= TOP[-1]:
            break
