"""The rules' character classes: a table built from `unicodedata` and one property that it lacks.

In:  Python's own Unicode data (3.11: Unicode 14; a newer Python knows newer letters).
Out: `classes()`, bits per code point in a two-stage table: `pages[code >> 7]` selects a run of 128 in `blocks`.
"""

import sys
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.clean.rules.near.words import WITHOUT_BLANKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPACE = 1
"""White space, as in `str.isspace`."""
ALPHABETIC = 2
"""Letters, as in `str.isalpha`: categories L*."""
LETTER = 4
"""Letters and combining marks: L* and M*."""
UPPER = 8
"""Lu and Lt. All other letters count as lower case, including those of scripts without case."""
DIGIT = 16
"""Nd."""
MARK = 32
"""Split off at either end of a word: punctuation except full stop, slashes, at sign and hyphens; currency; other
symbols, including emoji; `<`, `>`, `=`, backtick and acute accent."""
SYMBOL = 64
"""So: also split off inside a word."""
PUNCTUATION = 128
"""Not a word by itself: P*, Cc and the ASCII symbols."""
TERMINAL = 256
"""Ends a sentence, in any script."""
HYPHEN = 512
"""Joins two words into one."""
IDEOGRAPH = 1024
"""Letters of a script without spaces of which two count as a word: Han and kana."""
UNSPACED = 2048
"""The same of which four count as one: Thai, Lao, Khmer, Burmese, Tibetan."""

OF_CATEGORY = {
    **dict.fromkeys(("Lu", "Lt"), ALPHABETIC | LETTER | UPPER),
    **dict.fromkeys(("Ll", "Lm", "Lo"), ALPHABETIC | LETTER),
    **dict.fromkeys(("Mn", "Mc", "Me"), LETTER),
    **dict.fromkeys(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"), MARK | PUNCTUATION),
    "Nd": DIGIT,
    "So": MARK | SYMBOL,
    "Sc": MARK,
    "Cc": PUNCTUATION,
}
"""Bits per general category; 0 for all others."""

SENTENCE_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D5 "
    "1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D "
    "2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F "
    "A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 "
    "10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 "
    "113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C "
    "11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88"
)
"""Code points with the property Sentence_Terminal (Unicode 17.0, PropList.txt)."""

KEPT_ON_WORDS = "./\\@-\u2010\u2011"
"""Punctuation that is not a MARK."""
BESIDE_THE_CATEGORY = {
    MARK: "<>=`´",
    PUNCTUATION: "$+<=>^`|~",
    HYPHEN: "-–—~\u2010\u2011",
    SPACE: "".join(character for character in map(chr, range(0x3001)) if character.isspace()),
    TERMINAL: "".join(
        chr(code)
        for first, _, last in (part.partition("-") for part in SENTENCE_TERMINAL.split())
        for code in range(int(first, 16), int(last or first, 16) + 1)
    ),
}

TIBETAN = (0x0F40, 0x0FBC)
TSHEGS = (0x0F0B, 0x0F0C)
"""The marks between the syllables of Tibetan: they belong to the letter before them, as vowel signs do."""
FIRST_IDEOGRAPH = 0x3000
BLOCK = 128
ASSIGNED = (range(0x33480), range(0xE0000, 0xE0200))
"""Everything else is unassigned or private use, so without a class, in every version of Unicode so far."""


@lru_cache(maxsize=1)
def classes() -> tuple["NDArray[np.uint16]", "NDArray[np.uint16]"]:
    """Pages [code points / 128] and blocks [distinct blocks x 128] of classes; takes about 0.05 s, once per process."""
    import numpy as np

    bits = np.zeros(sys.maxunicode + 1, np.uint16)
    for codes in ASSIGNED:
        categories = map(unicodedata.category, map(chr, codes))
        bits[codes.start : codes.stop] = [OF_CATEGORY.get(category, 0) for category in categories]
    for added, characters in BESIDE_THE_CATEGORY.items():
        bits[[ord(character) for character in characters]] |= added
    bits[[ord(character) for character in KEPT_ON_WORDS]] &= 0xFFFF ^ MARK
    bits[list(TSHEGS)] = LETTER | PUNCTUATION
    for first, last in (*WITHOUT_BLANKS, TIBETAN):
        part = bits[first : last + 1]
        part[part & ALPHABETIC != 0] |= IDEOGRAPH if FIRST_IDEOGRAPH <= first < 0xA000 or first >= 0xF900 else UNSPACED
    known: dict[bytes, int] = {}
    pages = [known.setdefault(block.tobytes(), len(known)) for block in bits.reshape(-1, BLOCK)]
    return np.array(pages, np.uint16), np.frombuffer(b"".join(known), np.uint16)
