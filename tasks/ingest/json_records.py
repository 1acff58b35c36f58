"""The objects of a JSON file, one at a time: those of an array, or one after another."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tasks.fetch.compressed import PIECE
from tasks.ingest.decoding import BOM, unescape
from tasks.ingest.source import require_bound

SPACE = re.compile(r"\s*")
NEAR = 16
"""An error this near to the end of what was read may come from a word that is cut off: `tru`, `\\u00`."""


class TwiceError(ValueError):
    """An object has two values for a key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise TwiceError(f"two values for {twice!r} in one object")
    return found


def json_problem(error: Exception) -> str:
    """What is wrong with invalid JSON, without advice about Python."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""JSON with each key at most once in an object: of two values, `json.loads` would keep the second."""


def json_records(stream: BinaryIO, name: str) -> Iterator[tuple[Any, int | None]]:
    """The values in a file, and the offset of the first invalid byte of each, or None.

    Memory holds one value. Raises ValueError for invalid JSON, DataError for a value that is too long.
    """
    text = _Text(stream, name)
    if text.next_sign() != "[":
        while text.next_sign():
            yield text.value()
        return
    text.skip(1)
    if text.next_sign() != "]":
        yield text.value()
        while text.next_sign() == ",":
            text.skip(1)
            yield text.value()
    if text.next_sign() != "]":
        raise ValueError(f"expected a comma or the end of the array, found {text.next_sign() or 'the end of the file'}")
    text.skip(1)
    if text.next_sign():
        raise ValueError("text after the end of the array")


class _Text:
    """Text that is read as far as it is needed."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        self._text, self._at, self._name = self._stream.read(PIECE), 0, name
        self._offset = 0  # bytes before `_at`
        self.skip(self._text.startswith(BOM))

    def skip(self, signs: int) -> None:
        """Go on by so many characters."""
        self._offset += len(self._text[self._at : self._at + signs].encode("utf-8", "surrogateescape"))
        self._at += signs

    def next_sign(self) -> str:
        """The next character that is not blank, or nothing at the end."""
        while True:
            match = SPACE.match(self._text, self._at)
            assert match is not None
            self.skip(len(match[0]))
            if self._at < len(self._text) or not self._more(PIECE):
                return self._text[self._at : self._at + 1]

    def value(self) -> tuple[Any, int | None]:
        """The value that begins here."""
        self.next_sign()
        size = PIECE
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                break
            except json.JSONDecodeError as error:
                inside = error.pos < len(self._text) - NEAR and not error.msg.startswith("Unterminated string")
                if inside or not self._more(size):
                    raise ValueError(error.msg) from error
                size = len(self._text)
        raw, wrong = unescape(self._text[self._at : end])
        if wrong is not None:
            value, wrong = DECODER.decode(raw), self._offset + wrong
        self.skip(end - self._at)
        return value, wrong

    def _more(self, size: int) -> bool:
        """Read on; forgets what is behind."""
        more = self._stream.read(size)
        self._text, self._at = self._text[self._at :] + more, 0
        require_bound(len(self._text), f"{self._name}: a JSON value")
        return bool(more)
