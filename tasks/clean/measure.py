"""Measures texts and finds those that may need rewriting, in one pass over the bytes of a column.

In:  the UTF-8 bytes and offsets of a column, and a table of character kinds (`character_kinds`).
Out: characters and words of each text, and whether some step in `text` may change it. Most texts need no change, so
few reach the slow Python code.
"""

import unicodedata
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from ftfy.chardata import CHARMAP_ENCODINGS
from numpy.typing import NDArray

from tasks.clean.compiled import int64, kernel
from tasks.clean.rules.text_bytes import character_at
from tasks.clean.text import begins_with_mark

PLAIN, BLANK, FEED, ASK, SPACE = range(5)
"""Kinds of characters: never rewritten; space or tab; line feed; may be rewritten; may be rewritten and is white
space."""
LEAD, SPOILT_LEAD, TRAIL, SPOILT_TRAIL = 8, 16, 32, 64
"""Mojibake flags: what a UTF-8 lead or continuation byte looks like in a legacy encoding. SPOILT: a lead byte often
followed by a non-breaking space that became a plain one, and that space."""
CODES = 1 << 16
"""Size of the Basic Multilingual Plane; characters beyond it always get kind ASK."""
HANGUL = ((0x1161, 0x1176), (0x11A8, 0x11C3))
"""Vowels and final consonants, which compose with the character before them."""


@lru_cache(maxsize=8)
def character_kinds(form: Literal["NFC", "NFKC", "none"], removed: str, mojibake: bool) -> NDArray[np.uint8]:
    """The kind of every character of the BMP, for a normalization form and a set of removed characters.

    A character is PLAIN if no context changes it: it is normalized, not a mark, and never the second part of a
    composition (UAX #15, section 9: quick check "yes"). With `mojibake`, kinds carry flags and the controls U+0080 to
    U+009F are never PLAIN.
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
        kinds[ord("\N{EN DASH}")] &= 0xFF - SPOILT_LEAD  # a Mac Roman lead byte, but usually a real dash
        kinds[0xFFFD] |= TRAIL
        kinds[[ord(" "), ord("?")]] |= SPOILT_TRAIL
    return kinds


def _parts(code: int) -> str:
    """The canonical decomposition of a character, or itself."""
    parts = unicodedata.decomposition(chr(code))
    return "".join(chr(int(part, 16)) for part in parts.split()) if parts and parts[0] != "<" else chr(code)


@kernel
def measure_texts(
    data: Any, offsets: Any, kinds: Any, trailing: bool, blank_lines: int, sizes: Any, words: Any, asks: Any
) -> None:
    """Fill in `sizes`, `words` and `asks` [documents]: characters, words, and whether it may need rewriting.

    `trailing`: allow blanks at line ends. `blank_lines`: maximum number of consecutive empty lines, none of them at
    either end; negative for no limit.
    """
    for d in range(len(sizes)):
        at, stop = offsets[d], offsets[d + 1]
        characters = count = 0
        ask: Any = False
        inside, before, feeds, led = False, int64(FEED), 0, int64(0)
        while at < stop:
            code, width = character_at(data, at, stop)
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
