"""The text of an answer while its tokens come: what can be shown, and whether a text of `stop` has come."""

from collections.abc import Callable, Sequence


class Answering:
    """Reads the ids of one answer, and tells new text as soon as later tokens cannot change it.

    All pieces joined are the text of the whole answer, without white space at its ends and without a text of `stop`.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stop: Sequence[str], tell: Callable[[str], None] | None
    ) -> None:
        """`decode`: ids to text, without special tokens."""
        self._decode, self._stop, self._tell = decode, stop, tell
        self._shown = self._read = 0
        self._text = self._told = ""
        self.stopped = False
        """Whether a text of `stop` has come."""

    def read(self, ids: Sequence[int]) -> bool:
        """Read the answer so far; returns whether it is over."""
        # A window of tokens is decoded with and without the new ones: some tokens have no text of their own, and some
        # tokenizers drop a space at the beginning.
        before = self._decode(ids[self._shown : self._read])
        after = self._decode(ids[self._shown :])
        if len(after) > len(before) and not after.endswith("\N{REPLACEMENT CHARACTER}"):
            self._text += after[len(before) :]
            self._shown, self._read = self._read, len(ids)
            self._look()
        return self.stopped

    def end(self, ids: Sequence[int]) -> str:
        """The text of the whole answer, from all its ids; tells what is left of it."""
        if not self.stopped:
            whole = self._decode(ids)
            self._text = whole if whole.startswith(self._text) else self._text
            self._look()
        self._say(self._text.strip())
        return self._text.strip()

    def _look(self) -> None:
        places = [place for stop in self._stop if (place := self._text.find(stop)) >= 0]
        if places:
            self._text, self.stopped = self._text[: min(places)], True
            return
        held = max((size for stop in self._stop for size in range(1, len(stop)) if self._text.endswith(stop[:size])),
                   default=0)  # fmt: skip
        self._say(self._text[: len(self._text) - held].strip())

    def _say(self, text: str) -> None:
        if self._tell is not None and len(text) > len(self._told):
            self._tell(text[len(self._told) :])
            self._told = text
