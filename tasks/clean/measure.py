"""How long texts are, and which of them certainly need no rewriting: one pass over the bytes of a column.

In:  the UTF-8 bytes and offsets of a column, and what each character is to the rewriting (`character_kinds`).
Out: characters and words of each text, and whether some step of the rewriting (`text`) may change it. Most texts need
none, so that Python, which rewrites, looks at few.
"""

import unicodedata
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from ftfy.chardata import CHARMAP_ENCODINGS
from numpy.typing import NDArray

from tasks.clean.compiled import helper, int64, kernel
from tasks.clean.text import begins_with_mark

PLAIN, BLANK, FEED, ASK, SPACE = range(5)
"""What a character is: one that is never rewritten; a space or a tab; a line feed; one of which the rewriting must say;
one of these that is white space as well."""
LEAD, SPOILT_LEAD, TRAIL, SPOILT_TRAIL = 8, 16, 32, 64
"""Flags of characters that the bytes of UTF-8 are, read in one of the encodings that are commonly taken for it: the
first of several, one of the others; one that is often followed by a space where it was a hard one, and that space."""
CODES = 1 << 16
"""Characters of the first plane; the rewriting must say of all others."""
HANGUL = ((0x1161, 0x1176), (0x11A8, 0x11C3))
"""Vowels and final consonants, which make a syllable of what stands before them."""


@lru_cache(maxsize=8)
def character_kinds(form: Literal["NFC", "NFKC", "none"], removed: str, mojibake: bool) -> NDArray[np.uint8]:
    """Of every character of the first plane what it is, for a normalisation form and characters that are removed.

    A character is plain if it stays as it is, whatever stands around it: it is normal by itself, no mark, and no second
    part of another one (UAX #15, section 9: its quick check says yes). With flags, where mojibake is repaired, and none
    of the controls U+0080 to U+009F is plain then.
    """
    seconds = {part[-1] for part in map(_parts, range(CODES)) if len(part) > 1}
    kinds = np.full(CODES, ASK, np.uint8)
    for code in range(CODES):
        character = chr(code)
        if character.isspace():
            kinds[code] = SPACE
        elif form == "none":
            kinds[code] = PLAIN
        elif character not in seconds and not begins_with_mark(character):
            normal = not 0xD800 <= code < 0xE000 and unicodedata.is_normalized(form, character)
            kinds[code] = PLAIN if normal else ASK
    for first, last in HANGUL:
        kinds[first:last] = ASK
    kinds[[ord(character) for character in removed]] = ASK
    kinds[[ord(" "), ord("\t")]], kinds[ord("\n")] = BLANK, FEED
    if mojibake:
        kinds[0x80:0xA0] = np.where(kinds[0x80:0xA0] == PLAIN, ASK, kinds[0x80:0xA0])
        for encoding in CHARMAP_ENCODINGS:
            for flag, those in (
                (LEAD, range(0xC2, 0xF5)), (TRAIL, range(0x80, 0xC0)), (SPOILT_LEAD, b"\xc2\xc3\xc5\xce\xd0\xd9")
            ):  # fmt: skip
                kinds[[ord(character) for character in bytes(those).decode(encoding, errors="ignore")]] |= flag
        kinds[ord("\N{EN DASH}")] &= 0xFF - SPOILT_LEAD  # of Mac Roman, and before a space nearly always itself
        kinds[0xFFFD] |= TRAIL
        kinds[[ord(" "), ord("?")]] |= SPOILT_TRAIL
    return kinds


def _parts(code: int) -> str:
    """A character of two by canonical equivalence as these, or itself."""
    parts = unicodedata.decomposition(chr(code))
    return "".join(chr(int(part, 16)) for part in parts.split()) if parts and parts[0] != "<" else chr(code)


@kernel
def measure_texts(
    data: Any, offsets: Any, kinds: Any, trailing: bool, blank_lines: int, sizes: Any, words: Any, asks: Any
) -> None:
    """Fill in `sizes`, `words` and `asks` [documents]: characters, words, and whether the rewriting must be asked.

    `trailing`: may there be blanks at the ends of lines? `blank_lines`: so many empty lines may stand in a row, and
    none at either end; less than 0 for any.
    """
    for d in range(len(sizes)):
        at, stop = offsets[d], offsets[d + 1]
        characters = count = 0
        ask: Any = False
        inside, before, feeds, led = False, int64(FEED), 0, int64(0)
        while at < stop:
            code, width = _decoded(data, at)
            at += width
            characters += 1
            flags = int64(kinds[code]) if code < CODES else int64(ASK)
            kind = flags & 7
            blank = kind in (BLANK, FEED, SPACE)
            count += inside and blank
            inside = not blank
            ask |= kind >= ASK
            ask |= (led & LEAD and flags & TRAIL) or (led & SPOILT_LEAD and flags & SPOILT_TRAIL)
            led = flags
            if kind == FEED:
                ask |= before == BLANK and not trailing
                feeds += 1
                ask |= blank_lines >= 0 and (feeds == characters or feeds > blank_lines + 1)
            else:
                feeds = 0
            before = kind
        ask |= before == BLANK and not trailing and characters > 0
        ask |= before == FEED and blank_lines >= 0 and characters > 0
        sizes[d], words[d], asks[d] = characters, count + inside, ask


@helper
def _decoded(data: Any, at: int) -> Any:
    """The code point that begins at a byte of valid UTF-8, and its bytes."""
    lead = int64(data[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | (int64(data[at + 1]) & 0x3F), 2
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | (int64(data[at + 1]) & 0x3F) << 6 | (int64(data[at + 2]) & 0x3F), 3
    return int64(CODES), 4
