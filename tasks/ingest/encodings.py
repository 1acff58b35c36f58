"""The encoding of a file: UTF-8, one that the recipe names, or one to name in an error.

UTF-16 without a byte order mark is often valid UTF-8, full of control characters.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from tasks.fetch.compressed import PIECE

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"), (b"\x84\x31\x95\x33", "gb18030"), (b"\x1b$)C", "iso2022_kr"),
)  # fmt: skip
"""How files in other encodings begin; UTF-32 first, as its mark begins with that of UTF-16."""
JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\$?\([JID]")
"""What switches to Japanese characters in ISO-2022-JP, which is valid UTF-8."""
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
SAMPLE = 1 << 16
"""Bytes at the beginning of a file that decide."""
CONTROLS = bytes(range(9)) + bytes(range(0x0E, 0x1B)) + bytes(range(0x1C, 0x20))
"""C0 control characters that text does not have."""
CONTROL_SHARE = 0.2
"""Above this share of control characters, bytes are tried as UTF-16 and UTF-32: in these, Latin letters have every
other byte 0, Cyrillic ones 4, so that the share is about 0.5."""
NO_TEXT = ("Cc", "Cn", "Co", "Cs")
OFFICE = "export its text or table, as .txt or .csv"
PACK = "end its name in {}"
OTHER = (
    (b"PK\x03\x04", "a ZIP archive or an Office file (.xlsx, .docx)", OFFICE),
    (b"PK\x05\x06", "an empty ZIP archive", "remove it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.xls, .doc)", OFFICE),
    (b"%PDF-", "a PDF", "extract its text"),
    (b"PAR1\x15", "a Parquet file", PACK.format(".parquet")),
    (b"ARROW1\0\0", "an Arrow file", "save it as .parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export its table, as .csv"),
    (b"\x1f\x8b\x08", "compressed by gzip", PACK.format(".gz")),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", PACK.format(".zst")),
    (b"\xfd7zXZ\0", "compressed by xz", PACK.format(".xz")),
    (b"BZh91AY&SY", "compressed by bzip2", PACK.format(".bz2")),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"\x89PNG\r\n", "an image", "remove it"),
    (b"\xff\xd8\xff", "an image", "remove it"),
    (b"\x7fELF", "a program", "remove it"),
)  # fmt: skip
"""How files begin that are not text: what each is, and the way out."""


def known_encoding(name: str) -> str:
    """`name`. Raises ValueError if Python has no text encoding of this name."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or found.incrementaldecoder is None or not found._is_text_encoding:
        raise ValueError(f"unknown encoding {name!r}; names are those of Python, such as utf-16, cp1252 or shift_jis")
    return name


def no_text(sample: bytes) -> str | None:
    """What a file that begins with these bytes is and what to do with it, if it is certain not to be text."""
    return next((f"{what}, not text; {out}" for begin, what, out in OTHER if sample.startswith(begin)), None)


def foreign_encoding(sample: bytes) -> str | None:
    """The encoding of text that begins with these bytes, if it is certain not to be UTF-8."""
    for mark, name in MARKS:
        if sample.startswith(mark):
            return name
    if JAPANESE.search(sample):
        return "iso2022_jp"
    if sum(map(sample.count, (bytes([sign]) for sign in CONTROLS))) <= CONTROL_SHARE * len(sample):
        return None
    pages = {name: found for name in WIDE if (found := _pages(sample, name)) is not None}
    return min(pages, key=lambda name: pages[name]) if pages else None


def _pages(sample: bytes, name: str) -> int | None:
    """How many pages of 256 characters a text in this encoding uses, or None if it is none: a script has a few."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample, final=len(sample) < SAMPLE // 16)
    except UnicodeDecodeError:
        return None
    if any(unicodedata.category(sign) in NO_TEXT and not sign.isspace() for sign in set(text)):
        return None
    pages = len({ord(sign) >> 8 for sign in text})
    return pages if pages <= 1 + len(text) // 4 else None


def not_valid(offset: int, name: str, encoding: str | None) -> str:
    """The problem of text with an invalid byte at this offset of a file."""
    return f"not UTF-8 at byte {offset} of {name}" if encoding is None else f"not {encoding} in {name}"


def recoded(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """A stream in this encoding as UTF-8; each place that the encoding does not allow becomes an invalid byte."""
    codecs.register_error(_escape.__name__, _escape)
    decoder = codecs.getincrementaldecoder(encoding)(_escape.__name__)
    while piece := stream.read(PIECE):
        yield decoder.decode(piece).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udc80", error.end
