"""Conversations to token ids, with the answers in them; preferences to two conversations each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats.chat_ids import ASSISTANT, ChatError, ChatTemplate, Rendered
from tasks.formats.conversation import Message, read_messages
from tasks.formats.corpus import read_row_group, row_groups
from tasks.formats.tokens import REJECTED, Index, TokenWriter, write_answers
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_tree
from tasks.workers.parallel_map import parallel_map, processes_worth

AT_ONCE = 256
"""Conversations tokenized at once; their tokens with all offsets take a hundred times the memory of their text."""
QUANTILES = {"half": 0.5, "most": 0.95, "longest": 1.0}
"""Quantiles of lengths, for the report."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Conversations of a row group, one after the other."""

    ids: NDArray[np.uint32]
    lengths: Ids
    """[conversations]"""
    answers: Ids
    """[answers, 2] Start and end in `ids`."""
    asked: Ids
    """[conversations] Tokens of the answers."""
    text_bytes: int
    """UTF-8 bytes of the answers."""


@dataclass(frozen=True)
class _Found:
    chosen: Stream
    rejected: Stream | None
    """Preferences: the same conversations with the other answer."""
    rewritten: int
    """Answers without a span."""
    holding: int
    """Conversations with the characters of a special token in them."""
    system: int
    """Conversations with a system turn that the template leaves out."""


def encode_conversations(
    clean: Path, folder: Path, tokenizer: Path, chat: ChatTemplate, codec: tuple[int, str], preference: bool,
    advance: Callable[[int], None],
) -> dict[str, Any]:  # fmt: skip
    """Write the conversations of a split; returns the split's entry in the report.

    `codec`: the size of the vocabulary, and the tokenizer's hash. Raises DataError with the document that the template
    refuses.
    """
    places = list(row_groups(clean))
    streams = {"": _Writer(folder, chat, codec)}
    if preference:
        streams[REJECTED] = _Writer(folder / REJECTED, chat, codec)
    work = partial(
        _encode_row_group, tokenizer=tokenizer.resolve(), content=hash_tree(tokenizer), preference=preference
    )
    processes = processes_worth(sum(size for *_, size in places), len(places))
    rewritten = holding = system = 0
    for found in parallel_map(work, [place[:2] for place in places], processes):
        streams[""].write(found.chosen, found.rewritten)
        if found.rejected is not None:
            streams[REJECTED].write(found.rejected, found.rewritten)
        rewritten, holding, system = rewritten + found.rewritten, holding + found.holding, system + found.system
        advance(len(found.chosen.lengths))
    report = streams[""].close()
    if preference:
        report[REJECTED] = streams[REJECTED].close()
    counts = {
        "answers_rendered_differently": rewritten,
        "documents_with_special_tokens": holding,
        "system_turns_left_out": system,
    }
    return report | {name: count for name, count in counts.items() if count}


class _Writer:
    """Writes conversations, and where their answers are."""

    def __init__(self, folder: Path, chat: ChatTemplate, codec: tuple[int, str]) -> None:
        size, fingerprint = codec
        self.folder = folder
        self._tokens = TokenWriter(folder, size, chat.end, fingerprint, closed=False, template=chat.sha256)
        self._answers: list[Ids] = [np.empty((0, 2), np.int64)]
        self._lengths: list[Ids] = [np.empty(0, np.int64)]
        self._asked: list[Ids] = [np.empty(0, np.int64)]
        self._end = 0
        if chat.rewrites:
            self._tokens.note_last_only()

    def write(self, stream: Stream, rewritten: int) -> None:
        self._tokens.write(stream.ids, stream.lengths, stream.text_bytes)
        self._answers.append(stream.answers + self._end)
        self._lengths.append(stream.lengths)
        self._asked.append(stream.asked)
        self._end += len(stream.ids)
        if rewritten:
            self._tokens.note_last_only()

    def close(self) -> dict[str, Any]:
        index: Index = self._tokens.close()
        answers = np.concatenate(self._answers)
        write_answers(self.folder, answers)
        return {
            "documents": index.documents,
            "tokens": index.tokens,
            "bytes": index.text_bytes,
            "answers": len(answers),
            "asked": int((answers[:, 1] - answers[:, 0]).sum()),
            "length": _quantiles(np.concatenate(self._lengths)),
            "asked_length": _quantiles(np.concatenate(self._asked)),
        }


def _quantiles(lengths: Ids) -> dict[str, int]:
    return {name: int(np.quantile(lengths, q, method="higher")) for name, q in QUANTILES.items() if len(lengths)}


@lru_cache(2)
def _opened(tokenizer: Path, content: str) -> ChatTemplate:
    """The chat template of a tokenizer's folder with this content (`hash_tree`), once per process."""
    return ChatTemplate.open(tokenizer)


def _encode_row_group(place: tuple[Path, int], tokenizer: Path, content: str, preference: bool) -> _Found:
    import pyarrow.compute as pc

    chat, names = _opened(tokenizer, content), ["id", "messages", *(["rejected"] if preference else [])]
    batch = read_row_group(*place, names)
    held = pc.match_substring_regex(batch.column("messages"), chat.special_pattern)
    conversations = [read_messages(text) for text in batch.column("messages").to_pylist()]
    columns = [conversations]
    if preference:
        others = batch.column("rejected").to_pylist()
        columns.append([_answered(turns, other) for turns, other in zip(conversations, others, strict=True)])
    every = [list(_render(chat, column, place, batch.column("id"))) for column in columns]
    streams = [_stream(column, found, preference) for column, found in zip(columns, every, strict=True)]
    left_out = sum(any(turn["role"] == "system" for turn in turns) for turns in conversations)
    return _Found(
        streams[0], streams[1] if preference else None, sum(one.rewritten for one in every[0]),
        pc.sum(held, min_count=0).as_py(), left_out if chat.drops_system else 0,
    )  # fmt: skip


def _answered(turns: Sequence[Message], answer: str) -> list[Message]:
    return [*turns[:-1], {"role": ASSISTANT, "content": answer}]


def _render(
    chat: ChatTemplate, conversations: Sequence[list[Message]], place: tuple[Path, int], ids: Any
) -> Iterator[Rendered]:
    for first in range(0, len(conversations), AT_ONCE):
        some = conversations[first : first + AT_ONCE]
        try:
            found = chat.conversations(some)
        except ChatError as error:
            name = ids[first + error.number].as_py()
            raise DataError(f"{place[0].parent}: document {name}: {error}") from error
        for number, one in enumerate(found):
            if not one.answers or one.turns[-1] != len(some[number]) - 1:
                name = ids[first + number].as_py()
                raise DataError(f"{place[0].parent}: document {name}: the conversation does not end with an answer")
        yield from found


def _stream(conversations: Sequence[list[Message]], every: Sequence[Rendered], last_only: bool) -> Stream:
    """`last_only`: only the last answer of each conversation has a span."""
    kept = slice(-1 if last_only else 0, None)
    lengths = np.fromiter((len(one.ids) for one in every), np.int64, len(every))
    ids = np.fromiter((token for one in every for token in one.ids), np.uint32, int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    asked = [(np.array(one.answers[kept], np.int64), start) for one, start in zip(every, starts, strict=True)]
    said = (
        turns[number]["content"] for turns, one in zip(conversations, every, strict=True) for number in one.turns[kept]
    )
    return Stream(
        ids, lengths,
        np.concatenate([np.empty((0, 2), np.int64), *(spans + start for spans, start in asked)]),
        np.array([int((spans[:, 1] - spans[:, 0]).sum()) for spans, _ in asked], np.int64),
        sum(len(text.encode()) for text in said),
    )  # fmt: skip
