"""Bytes to text, and what is wrong with them: nothing is lost, and nothing wrong goes on unseen."""

import re
from typing import BinaryIO

BOM = "\ufeff"
SURROGATE = re.compile("[\ud800-\udfff]")
LINE_ENDS = re.compile("\r\n?")


def escape(data: bytes | bytearray) -> str:
    """UTF-8 to text; each byte that is not UTF-8 becomes a lone surrogate (PEP 383), to be found by `unescape`."""
    return data.decode("utf-8", "surrogateescape")


def unescape(text: str) -> tuple[str, int | None]:
    """The text with U+FFFD in place of wrong bytes, and the first of them, counted in bytes from its start."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        offset = len(text[: error.start].encode())
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), offset
    return text, None


def mend_surrogates(text: str) -> tuple[str, int | None]:
    """The text with U+FFFD in place of lone surrogates (`"\\ud800"` in JSON), and the character where the first is."""
    first = SURROGATE.search(text)
    return (text, None) if first is None else (SURROGATE.sub("\ufffd", text), first.start())


def plain_newlines(text: str) -> str:
    """All line ends as `\\n`."""
    return LINE_ENDS.sub("\n", text) if "\r" in text else text


class Lines:
    """The lines of a stream of bytes as text, their ends kept, with where the first wrong byte was since last asked."""

    def __init__(self, stream: BinaryIO) -> None:
        import io

        self._stream = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        self._offset = 0
        self._wrong: int | None = None

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = next(self._stream)
        fixed, wrong = unescape(line)
        if wrong is not None and self._wrong is None:
            self._wrong = self._offset + wrong
        first = self._offset == 0
        self._offset += len(line.encode("utf-8", "surrogateescape"))
        return fixed.removeprefix(BOM) if first else fixed

    def wrong_byte(self) -> int | None:
        """Where in the stream the first byte that is not UTF-8 was, among the lines since the last call."""
        wrong, self._wrong = self._wrong, None
        return wrong
