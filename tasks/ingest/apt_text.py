"""Debian's control files and the markup of descriptions in them, as plain text (Debian Policy 5.1 and 5.6.13).

Package: hello
Description-en: example package          the synopsis
 The GNU hello program produces a        one blank: a paragraph, its lines flow
 familiar, friendly greeting.
 .                                       a dot alone: a paragraph ends
 It shows:                               two blanks or more: a line as it is, a list most often
  * localisation by means of
    gettext
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tasks.ingest.decoding import escape, unescape

ITEM = re.compile(r"(?P<sign>\\?[-*+•·]|--|[–—−‒°]|o(?=  ?\S)|\d{1,2}[.)])\s+(?=\S)")
"""What a list's item begins with."""
ANYWHERE = re.compile(r"\\?[-*+•·]")
"""Of these, what begins one even in a line that flows, where a dash is one of the sentence."""
GAP = b"\n\n"
CHUNK = 1 << 20
BLANKS = re.compile(" {2,}")
SUSPENDED = re.compile(r"(and|or|to|et|ou|à|und|oder|bis)\b|\W")
"""Words before which a hyphen at the end of a line is not that of a word that was broken there: `pre- and post-`."""
FULL = 60
"""Characters of a line that may have been broken because it was full."""


@dataclass(frozen=True)
class Stanza:
    """One paragraph of a control file: a package, or a description."""

    fields: dict[str, str]
    """By name in lower case; lines behind the first with the blanks before them."""
    wrong_byte: int | None
    """Where in the file the first byte of it is that is not UTF-8, and now U+FFFD."""


def stanzas(stream: BinaryIO, names: Iterable[str]) -> Iterator[Stanza]:
    """The stanzas of a control file one after the other, with those of the named fields that each has."""
    field = re.compile(rf"^({'|'.join(map(re.escape, names))}):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE)
    offset = 0
    for raw in _blocks(stream):
        text, wrong = unescape(escape(raw))
        fields = {name.lower(): value.rstrip() for name, value in field.findall(text)}
        if fields:
            yield Stanza(fields, None if wrong is None else offset + wrong)
        offset += len(raw) + len(GAP)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What stands between blank lines, a chunk of the stream in memory at a time."""
    rest = b""
    while chunk := stream.read(CHUNK):
        *whole, rest = (rest + chunk).split(GAP)
        yield from whole
    yield rest


@dataclass
class _Line:
    """A line of plain text in the making."""

    indent: int
    """Blanks before it in the control file: 1 for what flows."""
    sign: str
    """`- ` or `1. ` for an item of a list, else empty."""
    text: str
    width: int
    """Characters of the last line of the file that it is made of."""


def paragraphs(long: str) -> list[str]:
    """The paragraphs of a long description (its lines with the blanks before them) without markup.

    Lines that flow are joined; every item of a list is a line of its own behind `- `, or its number; other lines with
    two blanks or more stay as they are, indented among one another.
    """
    found: list[list[str]] = [[]]
    for line in long.split("\n"):
        if line.strip() in (".", ""):
            found.append([])
        else:
            found[-1].append(line.expandtabs(8).rstrip())
    return [_paragraph(lines) for lines in found if lines]


def _paragraph(raw: list[str]) -> str:
    lines: list[_Line] = []
    for line in map(_read, raw):
        if lines and _goes_on(lines[-1], line):
            before = lines[-1]
            before.text, before.width = _joined(before.text, line.text), line.width
        else:
            lines.append(line)
    least = min((line.indent for line in lines if _stands_apart(line)), default=0)
    return "\n".join(" " * (line.indent - least) * _stands_apart(line) + line.sign + _spaced(line) for line in lines)


def _read(raw: str) -> _Line:
    text = raw.lstrip(" ")
    indent = len(raw) - len(text)
    match = ITEM.match(text)
    if match is None or (indent < 2 and not ANYWHERE.fullmatch(match["sign"])):
        return _Line(indent, "", text, len(raw))
    sign = match["sign"] if match["sign"][0].isdigit() else "-"
    return _Line(indent, f"{sign} ", text[match.end() :], len(raw))


def _stands_apart(line: _Line) -> bool:
    return line.indent > 1 or bool(line.sign)


def _goes_on(before: _Line, line: _Line) -> bool:
    """Whether a line of the file continues the one before it."""
    if line.sign:
        return False
    if not before.sign:
        return line.indent < 2 and before.indent < 2
    if line.indent > before.indent or before.indent < 2:
        return True
    if 1 < line.indent < before.indent:
        return False
    # The rest of an item whose author forgot to indent it, or what stands behind the list.
    full = before.width >= FULL and not before.text.endswith((".", ";", ":", "!", "?"))
    return full or line.text[0].islower() or line.text[0] == "("


def _joined(text: str, more: str) -> str:
    broken = text.endswith("-") and text[-2:-1].isalnum() and not SUSPENDED.match(more)
    return text + more if broken else f"{text} {more}"


def _spaced(line: _Line) -> str:
    """Blanks in a row are one, but in lines that stay as they are: a table, a command."""
    return line.text if line.indent > 1 and not line.sign else BLANKS.sub(" ", line.text)
