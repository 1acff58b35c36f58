"""Debian's control files and the markup of their descriptions, as plain text (Debian Policy 5.1 and 5.6.13).

Package: hello
Description-en: example package          the synopsis
 The GNU hello program produces a        one space: a paragraph, its lines are joined
 familiar, friendly greeting.
 .                                       a dot alone: end of the paragraph
 It shows:                               two or more spaces: verbatim, most often a list
  * localisation by means of
    gettext
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tasks.ingest.decoding import escape, unescape

ITEM = re.compile(r"(?P<sign>\\?[-*+•·]|--|[–—−‒°]|o(?=  ?\S)|\d{1,2}[.)])\s+(?=\S)")
"""The start of a list item."""
ANYWHERE = re.compile(r"\\?[-*+•·]")
"""Signs that start an item even with one leading space, where a dash is punctuation."""
GAP = b"\n\n"
CHUNK = 1 << 20
BLANKS = re.compile(" {2,}")
SUSPENDED = re.compile(r"(and|or|to|et|ou|à|und|oder|bis)\b|\W")
"""Words at the start of a line that show that the previous line's final hyphen is not a line break within a word:
`pre- and post-`."""
FULL = 60
"""Characters from which a line may have been wrapped because it was full."""


@dataclass(frozen=True)
class Stanza:
    """One paragraph of a control file: a package, or a description."""

    fields: dict[str, str]
    """Values by lowercase name; continuation lines keep their leading spaces."""
    wrong_byte: int | None
    """Offset in the file of the stanza's first invalid byte (now U+FFFD)."""


def stanzas(stream: BinaryIO, names: Iterable[str]) -> Iterator[Stanza]:
    """The stanzas of a control file that have any of the named fields, with these fields."""
    field = re.compile(rf"^({'|'.join(map(re.escape, names))}):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE)
    offset = 0
    for raw in _blocks(stream):
        text, wrong = unescape(escape(raw))
        fields = {name.lower(): value.rstrip() for name, value in field.findall(text)}
        if fields:
            yield Stanza(fields, None if wrong is None else offset + wrong)
        offset += len(raw) + len(GAP)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Blocks between blank lines, with one chunk of the stream in memory."""
    rest = b""
    while chunk := stream.read(CHUNK):
        *whole, rest = (rest + chunk).split(GAP)
        yield from whole
    yield rest


@dataclass
class _Line:
    """A line of plain text under construction."""

    indent: int
    """Leading spaces in the control file; 1 for lines to be joined."""
    sign: str
    """`- ` or `1. ` for a list item, else empty."""
    text: str
    width: int
    """Characters of its last line in the file."""


def paragraphs(long: str) -> list[str]:
    """The paragraphs of a long description (lines with their leading spaces), without markup.

    Lines with one leading space are joined; each list item becomes one line that starts with `- ` or its number;
    other lines stay verbatim and keep their relative indentation.
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
    """Whether a line of the file continues the previous one."""
    if line.sign:
        return False
    if not before.sign:
        return line.indent < 2 and before.indent < 2
    if line.indent > before.indent or before.indent < 2:
        return True
    if 1 < line.indent < before.indent:
        return False
    # Either the rest of an item, not indented by mistake, or the text after the list.
    full = before.width >= FULL and not before.text.endswith((".", ";", ":", "!", "?"))
    return full or line.text[0].islower() or line.text[0] == "("


def _joined(text: str, more: str) -> str:
    broken = text.endswith("-") and text[-2:-1].isalnum() and not SUSPENDED.match(more)
    return text + more if broken else f"{text} {more}"


def _spaced(line: _Line) -> str:
    """The text with runs of spaces collapsed, except in verbatim lines (a table, a command)."""
    return line.text if line.indent > 1 and not line.sign else BLANKS.sub(" ", line.text)
