"""Conversations for tests: turns, and corpora of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.formats.conversation import Message, answers, questions, write_messages
from tasks.formats.corpus import CorpusWriter, corpus_schema


def turns(*said: str, system: str | None = None) -> list[Message]:
    """A conversation: the user and the assistant say these in turn."""
    spoken = [{"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(said)]
    return spoken if system is None else [{"role": "system", "content": system}, *spoken]


def chat_row(name: str, messages: list[Message], rejected: str | None = None, group: str = "g") -> dict[str, Any]:
    """A row of a corpus of conversations."""
    row = {"id": name, "group": group, "text": questions(messages), "target": answers(messages), "source": f"s {name}"}
    row["messages"] = write_messages(messages)
    return row if rejected is None else {**row, "rejected": rejected}


def chat_batch(rows: Iterable[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as a batch; with the column `rejected` if the first has it."""
    rows = list(rows)
    extra = ("messages", "rejected") if rows and "rejected" in rows[0] else ("messages",)
    return pa.RecordBatch.from_pylist(rows, schema=corpus_schema(extra=extra))


def write_chats(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A corpus of conversations."""
    batch = chat_batch(rows)
    with CorpusWriter(folder, batch.schema) as writer:
        writer.write(batch)
