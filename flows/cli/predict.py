"""`gristmill predict`: run the champion of a recipe on arguments, a file or a pipe, batch by batch.

plain text                one text per argument or line
*.jsonl, or --column C    one JSON object per line, the text in column C; for a chat model a text is a question, and
                          the column `messages` a conversation
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from tasks.stage.errors import DataError

BATCH_TEXTS = 128
BATCH_CHARACTERS = 1 << 20
"""Limits of a batch; whichever is reached first."""

COLUMN, CONVERSATIONS = "text", "messages"


@dataclass(frozen=True)
class Text:
    """A text and its place, for messages."""

    place: str
    text: str
    messages: list[Any] | None = None
    """The conversation that `text` is as JSON."""

    @property
    def given(self) -> Any:
        """What the model gets."""
        return self.text if self.messages is None else {"messages": self.messages}


def predict(
    recipe: str, texts: Iterable[Text], given: Sequence[str], as_json: bool, variant: str | None = None
) -> None:
    """Print the champion's output for each text, in order, then warn about truncated inputs.

    `given`: parameters as `name=value`. Raises GristmillError for errors that the user can fix; outputs of all texts
    before a bad one are printed first.
    """
    from tasks.register.predict import Champion

    champion = Champion(recipe, variant)
    parameters = champion.read_parameters(given)
    answered = cut = 0
    for batch in batches(texts):
        problems = champion.check([text.given for text in batch], parameters)
        good = batch[: min(problems, default=len(batch))]
        inputs = [text.given for text in good]
        cut += champion.count_cut(inputs, parameters)
        for text, answer in zip(good, champion.predict(inputs, parameters), strict=True):
            click.echo(json_line(text, answer) if as_json else line(answer))
        for place, problem in sorted(problems.items())[:1]:
            raise DataError(f"{batch[place].place}: {problem}")
        answered += len(good)
    if not answered:
        click.echo("warning: no input, so no output", err=True)
    if cut:
        click.echo(
            f"warning: {cut:,} of {answered:,} inputs were longer than the model's maximum and truncated", err=True
        )


def read_texts(words: Sequence[str], file: str | None, column: str | None, chats: bool = False) -> Iterator[Text]:
    """Texts from arguments, or lazily from the lines of a file or of standard input (`-`).

    `chats`: JSON Lines hold conversations unless `column` says otherwise.

    Raises UsageError for no input or two kinds of it, DataError for an argument or line that is not a text.
    """
    if column == "":
        raise click.UsageError("--column: must not be empty")
    if words:
        if file is not None or column is not None:
            raise click.UsageError("pass texts as arguments or in a file, not both")
        return (_text(f"input {number}", word) for number, word in enumerate(words, 1))
    if file in (None, "-"):
        if file is None and (sys.stdin is None or sys.stdin.isatty()):
            raise click.UsageError("no input: pass texts after RECIPE, or --file PATH, or pipe one per line")
        return _texts(sys.stdin.buffer, "standard input", column)
    assert file is not None
    default = CONVERSATIONS if chats else COLUMN
    return _texts_of_file(Path(file), column or (default if file.endswith(".jsonl") else None))


def batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """The texts in order, in batches of limited size."""
    batch: list[Text] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text.text)
        if len(batch) == BATCH_TEXTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def line(answer: Any) -> str:
    """An answer as one line, so that output lines match input lines; its line breaks become spaces."""
    if isinstance(answer, dict) and "label" in answer:
        return f"{answer['label']}\t{answer['score']:.4f}"
    if isinstance(answer, dict) and "choices" in answer:
        answer = answer["choices"][0]["message"]["content"]
    text = answer["text"] if isinstance(answer, dict) else answer
    return " ".join(str(text).splitlines())


def json_line(text: Text, answer: Any) -> str:
    """The text and its full answer as a JSON object; for a conversation the `chat.completion`."""
    outputs = answer if isinstance(answer, dict) else {"output": answer}
    inputs = {"input": text.text} if text.messages is None else {"messages": text.messages}
    return json.dumps({**inputs, **outputs}, ensure_ascii=False)


def _texts_of_file(path: Path, column: str | None) -> Iterator[Text]:
    with path.open("rb") as lines:
        yield from _texts(lines, str(path), column)


def _texts(lines: BinaryIO, name: str, column: str | None) -> Iterator[Text]:
    for number, raw in enumerate(lines, 1):
        place = f"{name} line {number}"
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}") from error
        if column is None:
            yield Text(place, text)
        elif text.strip():
            yield _of_column(text, column, place)


def _text(place: str, text: str) -> Text:
    """Raises DataError for a lone surrogate: JSON can spell it, and an argument has one per byte that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: not Unicode: character {error.start + 1} is {text[error.start]!a}") from error
    return Text(place, text)


def _of_column(row: str, column: str, place: str) -> Text:
    try:
        content = json.loads(row)
    except ValueError as error:
        raise DataError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{place}: not a JSON object: {row[:60]}")
    if column not in content:
        raise DataError(f"{place}: no column {column!r} (available: {', '.join(content)})")
    value = content[column]
    if column == CONVERSATIONS and isinstance(value, list):
        return Text(place, json.dumps(value), value)
    if not isinstance(value, str):
        raise DataError(f"{place}: {column}: expected a string, not {json.dumps(value)[:60]}")
    return _text(place, value)
