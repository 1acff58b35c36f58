"""A chat model with its template, and what of a conversation fits into its positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.evaluate.loading import load_weights
from tasks.formats.chat_ids import ChatError, ChatTemplate, Rendered
from tasks.formats.conversation import ASSISTANT, Message
from tasks.formats.text_ids import open_tokenizer
from tasks.formats.tokenizer import hash_tokenizer
from tasks.formats.weights import positions, unfit
from tasks.stage.errors import DataError, one_line


@dataclass(frozen=True)
class Piece:
    """A rendered conversation, or the part of it that fits."""

    ids: list[int]
    answers: list[range]
    """The places of the answers that are scored, the end of the turn included; in order, never empty."""
    cut: bool = False
    """Whether turns at the front were left out, or tokens where that is not enough."""


@dataclass(frozen=True)
class ChatModel:
    """A model in eval mode on its device, with its template."""

    model: Any
    template: ChatTemplate
    tokenizer_hash: str
    positions: int | None
    """Maximum tokens of a conversation; None if the architecture has no limit."""

    def pieces(self, conversations: Sequence[Sequence[Message]]) -> list[list[Piece]]:
        """The answers of each conversation, each once and in order, each with as many turns before it as fit.

        One piece if the conversation fits. Else one with the answers up to where it no longer does, and one for each
        later answer: turns at its front are left out, the system prompt is not, until the rest fits. A piece whose
        single question does not fit is longer than the model's positions. Raises ChatError, with the number of the
        conversation, if the template does.
        """
        found = []
        for number, whole in enumerate(self.template.conversations(conversations)):
            try:
                found.append(self._pieces(conversations[number], whole))
            except ChatError as error:
                error.number = number
                raise
        return found

    def _pieces(self, messages: Sequence[Message], whole: Rendered) -> list[Piece]:
        spans = [range(start, stop) for start, stop in whole.answers]
        # A template that renders earlier answers otherwise once later turns follow: each answer for itself.
        fitting = [] if whole.rewritten else [span for span in spans if self._fits(span.stop)]
        found = [Piece(whole.ids[: fitting[-1].stop], fitting)] if fitting else []
        for place in answers_of(messages)[len(fitting) :]:
            piece = self._piece(messages[: place + 1])
            for history in shorter(messages[:place]):
                if self._fits(len(piece.ids)):
                    break
                piece = self._piece([*history, messages[place]], cut=True)
            found.append(piece)
        return found

    def _piece(self, messages: Sequence[Message], cut: bool = False) -> Piece:
        rendered = self.template.conversation(messages)
        last = range(*rendered.answers[-1])
        return Piece(rendered.ids[: last.stop], [last], cut)

    def _fits(self, tokens: int) -> bool:
        """Whether the model can score so many tokens: the last one is predicted, but not read."""
        return self.positions is None or tokens - 1 <= self.positions

    def prompt(self, history: Sequence[Message], new_tokens: int) -> tuple[list[int], bool]:
        """What the next answer is generated from, with room for `new_tokens`, and whether it was cut: by whole turns at
        the front, and by tokens if the last question alone is too long. Raises ChatError if the template does."""
        ids = self.template.prompt(history)
        room = None if self.positions is None else self.positions - new_tokens
        if room is None or len(ids) <= room:
            return ids, False
        for shortened in shorter(history):
            ids = self.template.prompt(shortened)
            if len(ids) <= room:
                break
        return ids[-room:], True


def answers_of(messages: Sequence[Message]) -> list[int]:
    """The places of the answers in a conversation."""
    return [place for place, turn in enumerate(messages) if turn["role"] == ASSISTANT]


def shorter(history: Sequence[Message]) -> Iterator[list[Message]]:
    """A history without more and more turns at its front: it still begins with the system prompt and a question of the
    user. At least once: as it is, if there is nothing to leave out."""
    system = [turn for turn in history[:1] if turn["role"] == "system"]
    begins = [place for place, turn in enumerate(history) if turn["role"] == "user"][1:]
    if not begins:
        yield list(history)
    for begin in begins:
        yield [*system, *history[begin:]]


def load_chat_model(folder: Path, precision: str, template: Path | None = None) -> ChatModel:
    """Load a chat model. `template`: the folder of the model whose template renders conversations if this one has none.

    Raises DataError if the folder is incomplete or inconsistent.
    """
    opened = _open(folder, template)
    model = load_weights(folder, "chat", precision)
    vocabulary = model.config.get_text_config().vocab_size
    if len(opened.tokenizer) > vocabulary:
        raise DataError(
            f"{folder}: the tokenizer has {len(opened.tokenizer):,} tokens, but the model only {vocabulary:,}"
        )
    return ChatModel(model, opened, hash_tokenizer(folder), positions(model))


def _open(folder: Path, other: Path | None) -> ChatTemplate:
    from transformers.utils import logging

    logging.set_verbosity_error()
    hash_tokenizer(folder)  # without one, transformers would make an empty tokenizer
    try:
        tokenizers = [open_tokenizer(folder, control) for control in (False, True)]
        if tokenizers[0].chat_template is None and other is not None:
            tokenizers[0].chat_template = open_tokenizer(other, control=False).get_chat_template()
        return ChatTemplate(*tokenizers)
    except unfit() as error:
        raise DataError(f"{folder}: no conversation can be rendered: {one_line(error)}") from error
