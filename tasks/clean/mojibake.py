"""Repairs mojibake, UTF-8 that was decoded with the wrong encoding, and leaves alone what may be text.

ftfy proposes the repairs. But a letter and the mark after it may be text: `Ã»` in `«MAÇÃ»`, which as mojibake is `û`.
They stay, unless all else beyond ASCII in their line, or between the blanks around them, is mojibake, or what stands
next to them shows that they are.
"""

import re
from collections.abc import Iterator

NEL = "\x85"
"""A line end; also the ellipsis of Windows-1252 decoded as Latin-1."""
BLANKS = " \u00a0"
CLOSING = f"»›”’“‘…–—•·¹²³{BLANKS}"
"""What often stands right after a word."""
SIGNS = "™®©ªº°†‡£€§¶´¨"
"""What sometimes does."""
RAISED = "¹²³"
JOINING = f"’‘“–—…•·{BLANKS}"
"""Marks between which and the next word nothing has to stand."""
OPENING = "«‹“‘„(['\""
LETTER_AND_MARKS = rf"[^\W\d_a-zA-Z¹²³ªº](?:[{CLOSING}{SIGNS}]+|(?<=[Â-ß]){NEL})"
LINE_END = rf"(?<![Â-ß])(?<![à-ô](?={NEL}[\x80-¿]))(?<![à-ô][\x80-¿])(?<![ð-ô][\x80-¿][\x80-¿]){NEL}"
"""A NEL that is not part of UTF-8 decoded as Latin-1."""
MAY_BE_TEXT = re.compile(f"{LETTER_AND_MARKS}|{LINE_END}")
ADJACENT = re.compile(f"(?:{LETTER_AND_MARKS}){{2}}")
"""Two of them, which no text has."""
WINDOWS = re.compile("(?<![\x80-\xbfÂ-ô])[\x80-\x84\x86-\x9f]")
"""A control character that is not part of UTF-8 decoded as Latin-1, so probably a mark of Windows-1252."""


def repair_mojibake(text: str) -> str:
    """Repair UTF-8 that was decoded with the wrong encoding, once or repeatedly, line by line."""
    if text.isascii():
        return text
    from ftfy.badness import is_bad

    if not is_bad(text):
        return text
    return "\n".join(_repaired(line) if is_bad(line) else line for line in text.split("\n"))


def _repaired(line: str) -> str:
    from ftfy import fix_encoding

    pieces = list(_pieces(line))
    if _is_mojibake(line, " ".join(pieces[::2])):
        return fix_encoding(line)
    return "".join(piece if place % 2 else fix_encoding(piece) for place, piece in enumerate(pieces))


def _pieces(line: str) -> Iterator[str]:
    """The parts of a line: in turn what may be mojibake, and a letter with marks that may be text."""
    windows = WINDOWS.search(line) is not None
    begin, right, mojibake = 0, -1, False
    for found in MAY_BE_TEXT.finditer(line):
        at, stop = found.span()
        if at >= right:  # `Â«cittÃ\u00a0Â»`
            left, right = line.rfind(" ", 0, at) + 1, line.find(" ", stop) % (len(line) + 1)
            part = line[left:right]
            mojibake = _is_mojibake(part, part if ADJACENT.search(part) else MAY_BE_TEXT.sub(" ", part))
        if not windows if found[0] == NEL else not mojibake and _may_be_text(line, at, stop):
            yield line[begin:at]
            yield found[0]
            begin = stop
    yield line[begin:]


def _may_be_text(line: str, at: int, stop: int) -> bool:
    """Whether a letter and the marks after it may be text, from what stands around them."""
    letter, mark, marks, after = line[at], line[at + 1], line[at + 1 : stop], line[stop : stop + 1]
    start = at
    while start and line[start - 1].isalpha():
        start -= 1
    word, before = line[start:at], line[at - 1 : at]
    if (letter.isupper() and before.islower()) or (before.isdigit() and after.isdigit()):  # `goÃ»t`, `3Ã—4`
        return False
    inside = after.isalpha() and (len(marks) == 1 or marks[-1] not in JOINING)
    of_a_capital = letter in "ÂÃ" and len(word) < 2  # `OÃ¹ est`, `RÂ²`, but `MAÇÃ¹`
    if letter == "á" and mark in "»º" and len(marks) > 1 and marks[1] != " ":  # `Viá»‡t`, but `«está»…`
        return not inside and mark == "»" and "«" in line[:at]
    if mark == "»" and of_a_capital:  # `DÃ»`, but `«LÃ»`
        return "«" in line[:start]
    if mark in SIGNS or mark in RAISED:  # `isto Ã©`, `ACMEÂ®` and `â€™`, but `MAMÃ®` and `HÂLÂ®`
        return not (letter == "â" or inside or of_a_capital or (letter == "Â" and word.isascii()))
    if mark in BLANKS:  # `etc.Â `, `Ã  la` and `LÃ\u00a0-bas`, but `Â is a letter` and `« Â »`
        attached = before != "" and not before.isspace() and before not in OPENING
        wide = marks.isspace() and (len(marks) > 1 or (mark == "\u00a0" and after.isalnum() and not word))
        wide |= marks == "\u00a0" and after == "-" and line[stop + 1 : stop + 2].isalnum()
        if word:
            return not (wide and of_a_capital and "\u00a0" in marks)
        return not (attached or (wide and of_a_capital))
    if mark == NEL:  # `Ã\x85ngström`
        return word != "" or not inside or letter != "Ã"
    if not inside or mark in "’—" or not word.isascii():
        return True
    return re.search(rf"{letter}(?:[A-Za-z]|$)", line) is not None  # `GRÃ–SSE`, `Ã–sterreich`, but `NÃO É MAÇÃ–UVA`


def _is_mojibake(text: str, rest: str) -> bool:
    """Whether all of a text beyond ASCII is UTF-8 decoded with one wrong encoding, and not only what may be text.

    `rest`: the text without that.
    """
    from ftfy.chardata import CHARMAP_ENCODINGS

    for encoding in () if rest.isascii() else CHARMAP_ENCODINGS:
        try:
            text.encode(encoding).decode()
        except UnicodeError:
            continue
        return True
    return False
