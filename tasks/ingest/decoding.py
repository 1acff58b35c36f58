"""Bytes to text, losslessly, with a report of invalid bytes."""

import io
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any, BinaryIO

from tasks.ingest.source import longest_line, require_bound

BOM = "\ufeff"
SURROGATE = re.compile("[\ud800-\udfff]")
LINE_ENDS = re.compile("\r\n?")


def escape(data: bytes | bytearray) -> str:
    """Decode UTF-8; each invalid byte becomes a lone surrogate (PEP 383) for `unescape` to find."""
    return data.decode("utf-8", "surrogateescape")


def unescape(text: str) -> tuple[str, int | None]:
    """The text with U+FFFD for invalid bytes, and the byte offset of the first, or None."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        offset = len(text[: error.start].encode())
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), offset
    return text, None


def mend_surrogates(text: str) -> tuple[str, int | None]:
    """The text with U+FFFD for lone surrogates (`"\\ud800"` in JSON), and the index of the first, or None."""
    first = SURROGATE.search(text)
    return (text, None) if first is None else (SURROGATE.sub("\ufffd", text), first.start())


def plain_newlines(text: str) -> str:
    """The text with all line endings as `\\n`."""
    return LINE_ENDS.sub("\n", text) if "\r" in text else text


def text_of(value: Any, column: str, place: str, problems: list[str]) -> str | None:
    """The value of a column as text that UTF-8 can encode; None for None. Adds what is wrong with it to `problems`."""
    if value is None:
        return None
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            problems.append(f"not UTF-8 at byte {error.start} of {column} in {place}")
            value = value.decode("utf-8", "replace")
    elif not isinstance(value, str):
        problems.append(f"{column} is no text, but {type(value).__name__}, in {place}")
        value = json.dumps(value, ensure_ascii=False, default=str)
    text, wrong = mend_surrogates(value)
    if wrong is not None:
        problems.append(f"lone surrogate at character {wrong} of {column} in {place}")
    return plain_newlines(text)


def escaped_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a UTF-8 stream, with their endings, invalid bytes escaped. Raises DataError for a line too long."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    for number in count(1):
        line = text.readline(longest_line())
        require_bound(len(line), f"{name} line {number}")
        if not line:
            return
        yield line


class Lines:
    """The lines of a byte stream as text, with their endings; keeps track of invalid bytes, and of a row's length."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._lines, self._name = escaped_lines(stream, name), name
        self._offset = self._row = 0
        self._wrong: int | None = None

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        fixed, wrong = unescape(line)
        if wrong is not None and self._wrong is None:
            self._wrong = self._offset + wrong
        first = self._offset == 0
        self._offset += len(line.encode("utf-8", "surrogateescape"))
        require_bound(self._offset - self._row, f"{self._name}: the row at byte {self._row}")
        return fixed.removeprefix(BOM) if first else fixed

    def wrong_byte(self) -> int | None:
        """Ends a row: the offset in the stream of its first invalid byte, or None."""
        wrong, self._wrong, self._row = self._wrong, None, self._offset
        return wrong
