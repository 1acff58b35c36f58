"""Batches of conversations, for chat models.

A conversation longer than `context_length` is cut after its last whole answer that fits; one without such an answer is
left out. What remains is laid out in rows in one of two ways:

packing   several conversations share a row, placed by best-fit decreasing; positions start anew in each, and none
          attends to another: transformers takes `position_ids` without an attention mask as the borders
          (`find_packed_sequence_indices` in its masking_utils.py), and `tasks.train.model.check_runs` proves that the
          architecture obeys them
buckets   a conversation per row, rows of similar length per batch, padded

Rows have the same lengths in every pass. Each pass shuffles conversations of equal length and the order of rows
(packing) or batches (buckets), using a generator seeded with (seed, pass).
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.formats.rows import IGNORED, Ids
from tasks.formats.tokens import Answers, Index, Tokens
from tasks.stage.errors import RecipeError
from tasks.train.batches import Batch, Batches, Data
from tasks.train.buckets import Sides, cuts
from tasks.train.mixture import MixedBatches, Source
from tasks.train.settings import ChatTraining

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AS_MUCH = 500
"""Width of a row in tokens at which attention takes as long as all else; measured with SmolLM2-135M on a CPU."""
WIDEST = 4
"""Rows are up to so many times as wide as the longest conversation; wider ones would hardly have less padding."""


@dataclass(frozen=True)
class Conversations:
    """The conversations used from a split, cut."""

    tokens: Tokens
    answers: Answers
    numbers: Ids
    """[conversations] Their indices in the split."""
    lengths: Ids
    """[conversations] Their tokens after the cut."""
    loss_on: str
    """See `ChatTraining`."""

    def some(self, count: int | None, spaced: bool) -> "Conversations":
        """Only `count` of them (None: all): the first, or evenly spaced ones."""
        total = len(self.numbers)
        count = min(count or total, total)
        return self._at(np.arange(count) * total // count if spaced else np.arange(count))

    def of(self, source: Source, where: str) -> "Conversations":
        """Those of one source of a mixture. Raises RecipeError if it has none."""
        own = (self.numbers >= source.documents.start) & (self.numbers < source.documents.stop)
        if not own.any():
            raise RecipeError(f"{where}: train.context_length: no conversation of the source {source.name} fits")
        return self._at(np.flatnonzero(own))

    def _at(self, places: Ids) -> "Conversations":
        return replace(self, numbers=self.numbers[places], lengths=self.lengths[places])

    def spans(self, place: int) -> Ids:
        """What the loss is on in a conversation [spans, 2]: start and end in the conversation, never its first token,
        which nothing predicts."""
        number, length = int(self.numbers[place]), int(self.lengths[place])
        found = self.answers.of(number) - self.tokens.starts[number]
        found = found[found[:, 1] <= length]
        if self.loss_on == "all":
            found = np.array([[0, length]])
        elif self.loss_on == "last_answer":
            found = found[-1:]
        return np.maximum(found, 1)

    def row(self, place: int) -> tuple[Ids, Ids]:
        """Token ids and labels of a conversation: each position's next token where the loss is on it."""
        number, length = int(self.numbers[place]), int(self.lengths[place])
        start = int(self.tokens.starts[number])
        ids = self.tokens.slice(start, start + length)
        labels = np.full_like(ids, IGNORED)
        for begin, end in self.spans(place):
            labels[begin - 1 : end - 1] = ids[begin:end]
        return ids, labels

    def asked(self) -> int:
        """Tokens that the loss is on, in one pass."""
        return sum(int(np.diff(self.spans(place)).sum()) for place in range(len(self.numbers)))

    def counted(self, tokenizer: "PreTrainedTokenizerBase") -> Index:
        """The split's index with the tokens that the loss is on and the UTF-8 bytes of their text, special tokens left
        out."""
        told = []
        for place in range(len(self.numbers)):
            ids, _ = self.row(place)
            told += [ids[begin:end].tolist() for begin, end in self.spans(place)]
        texts = tokenizer.batch_decode(told, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return replace(self.tokens.index, tokens=sum(map(len, told)), text_bytes=size)


def chat_data(
    train: Sides, validation: Sides, settings: ChatTraining, padding: int, where: str, sources: Sequence[Source] = ()
) -> Data:
    """Batches of both splits. `padding`: the padding id; `where`: the recipe's file; `sources`: those of a mixture with
    weights.

    Raises RecipeError if no conversation is left.
    """
    facts: dict[str, object] = {}
    kind = PackedRows if settings.packing else BucketRows
    made: list[Batches] = []
    for name, sides in (("training", train), ("validation", validation)):
        if settings.loss_on == "answers" and sides.text.index.last_only:
            raise RecipeError(
                f"{where}: train.loss_on: answers, but the chat template renders earlier answers differently once "
                "later turns follow, so they cannot be learned in one row; set loss_on: last_answer"
            )
        chosen, told = choose(sides, settings)
        if not len(chosen.numbers):
            raise RecipeError(f"{where}: {_none_left(name, sides, settings)}")
        training = name == "training"
        chosen = chosen.some(None if training else settings.evaluation_documents, spaced=bool(sides.parts))
        groups = [chosen.of(source, where) for source in sources] if training and sources else [chosen]
        batches = [kind(own, settings, padding, shuffled=training) for own in groups]
        made.append(MixedBatches(sources, batches) if training and sources else batches[0])
        tokens = sum(int(own.lengths.sum()) for own in groups)
        facts[name] = told | {
            "tokens": tokens,
            "asked_tokens": sum(own.asked() for own in groups),
            "rows": sum(some.rows for some in batches),
            "batches": made[-1].count,
            "padding": round(1 - tokens / sum(some.room() for some in batches), 6),
        }
    return Data(made[0], made[1], facts)


def choose(sides: Sides, settings: ChatTraining) -> tuple[Conversations, dict[str, int]]:
    """The conversations that fit, cut, and how many were cut or left out."""
    tokens, answers = sides.text, sides.answers
    assert answers is not None
    starts, lengths = tokens.starts[:-1], np.diff(tokens.starts)
    within = np.searchsorted(answers.spans[:, 1], starts + settings.context_length, side="right")
    last = np.minimum(within, answers.first[1:]) - 1  # the last whole answer that fits
    fits = last >= answers.first[:-1]
    long = lengths > settings.context_length
    ends = np.append(answers.spans[:, 1], 0)[last] - starts
    numbers = np.flatnonzero(fits)
    kept = np.where(long, ends, lengths)[numbers].astype(np.int64)
    told = {"conversations": len(numbers), "cut": int((long & fits).sum()), "left_out": int((~fits).sum())}
    return Conversations(tokens, answers, numbers, kept, settings.loss_on), told


def _none_left(name: str, sides: Sides, settings: ChatTraining) -> str:
    assert sides.answers is not None
    if not sides.text.index.documents:
        return f"the {name} split is empty"
    answers = sides.answers
    answered = np.flatnonzero(np.diff(answers.first))
    if not len(answered):
        return f"no conversation of the {name} split has an answer"
    shortest = int((answers.spans[answers.first[answered], 1] - sides.text.starts[answered]).min())
    return (
        f"train.context_length: {settings.context_length} tokens hold no answer of the {name} split; "
        f"the shortest conversation has {shortest:,} tokens up to the end of its first answer"
    )


def pack(lengths: Ids, room: int) -> Ids:
    """The row of each item [items], by best-fit decreasing: each goes where it leaves the least room.

    `lengths` [items] descend, and none exceeds `room`. Johnson 1974: at most 11/9 of the fewest rows, plus 4.
    """
    rows = np.empty(len(lengths), np.int64)
    open_rows: list[list[int]] = [[] for _ in range(room + 1)]  # by the room left in them
    lefts: list[int] = []  # sorted: which of these have a row
    count = 0
    for place, length in enumerate(lengths.tolist()):
        found = bisect_left(lefts, length)
        if found == len(lefts):
            row, left = count, room - length
            count += 1
        else:
            row, left = open_rows[lefts[found]].pop(), lefts[found] - length
            if not open_rows[lefts[found]]:
                lefts.pop(found)
        rows[place] = row
        if not open_rows[left]:
            insort(lefts, left)
        open_rows[left].append(row)
    return rows


def best_rows(lengths: Ids, most: int) -> tuple[int, Ids]:
    """The width of rows and the row of each conversation that take the least time: wide rows have less padding, but
    attention costs more in them. `lengths` descend; no row is wider than `most`, unless a conversation is."""
    longest = int(lengths[0])
    found = []
    for width in [longest, *(times * longest for times in range(2, WIDEST + 1) if times * longest <= most)]:
        rows = pack(lengths, width)
        found.append(((int(rows.max()) + 1) * width * (AS_MUCH + width), width, rows))
    _, width, rows = min(found, key=lambda one: one[:2])
    return width, rows


class ConversationBatches(Batches):
    """What both layouts share: an order of the conversations that changes with each pass."""

    rows: int
    """Rows in one pass."""

    def __init__(self, conversations: Conversations, settings: ChatTraining, padding: int, shuffled: bool) -> None:
        self.conversations, self.settings, self.padding, self.shuffled = conversations, settings, padding, shuffled
        self.sorted = self._sort(0)
        self.width = settings.context_length  # new conversations may be longer than these
        self._pass = -1
        self._order: Ids = np.empty(0, np.int64)

    def room(self) -> int:
        """Tokens of a pass, counting padding."""
        raise NotImplementedError

    def size(self, position: int) -> int:
        """See `Batches.size`."""
        return sum(int(self.conversations.lengths[row].sum()) for row in self._rows(position))

    def _rows(self, position: int) -> list[Ids]:
        """The places of the conversations in each row of the batch at a position."""
        raise NotImplementedError

    def _sort(self, number: int) -> Ids:
        """The conversations, longest first, those of equal length in an order of this pass."""
        ties = np.random.default_rng([self.settings.seed, number]).permutation(len(self.conversations.lengths))
        return np.lexsort((ties, -self.conversations.lengths))

    def _enter(self, number: int, moved: int) -> None:
        """Begin a pass, with a new order of `moved` rows or batches."""
        if number == self._pass:
            return
        self._pass, self._order = number, np.arange(moved)
        if self.shuffled:
            self.sorted = self._sort(number)
            self._order = np.random.default_rng([self.settings.seed, number, 1]).permutation(moved)

    def _tensors(self, rows: Sequence[Ids], width: int) -> Batch:
        """A batch of rows [rows, width], each of the conversations at these places; packed ones have `position_ids`,
        others `attention_mask`."""
        import torch

        ids = np.full((len(rows), width), self.padding, np.int64)
        labels, lengths = np.full_like(ids, IGNORED), np.zeros_like(ids)
        positions = np.zeros_like(ids)  # a padding token is a sequence of its own
        for row, places in enumerate(rows):
            start = 0
            for place in places:
                read, asked = self.conversations.row(int(place))
                part = slice(start, start + len(read))
                ids[row, part], labels[row, part] = read, asked
                lengths[row, part], positions[row, part] = len(read), np.arange(len(read))
                start += len(read)
        batch = {"input_ids": ids, "labels": labels}
        if self.settings.packing:
            batch["position_ids"] = positions
        else:
            batch["attention_mask"] = (lengths > 0).astype(np.int64)
        if self.settings.neftune_alpha is not None:
            batch["lengths"] = lengths
        return {name: torch.from_numpy(array) for name, array in batch.items()}


class PackedRows(ConversationBatches):
    """Rows that hold several conversations; as many per batch as `batch_tokens` hold."""

    def __init__(self, conversations: Conversations, settings: ChatTraining, padding: int, shuffled: bool) -> None:
        super().__init__(conversations, settings, padding, shuffled)
        self.row_width, placed = best_rows(conversations.lengths[self.sorted], settings.context_length)
        self._members = np.argsort(placed, kind="stable")
        self._borders = np.searchsorted(placed[self._members], np.arange(int(placed.max()) + 2))
        self.rows = len(self._borders) - 1
        self.count = -(-self.rows // max(settings.batch_tokens // self.row_width, 1))

    def room(self) -> int:
        """See `ConversationBatches.room`."""
        return self.rows * self.row_width

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        return self._tensors(self._rows(position), self.row_width)

    def _rows(self, position: int) -> list[Ids]:
        number, place = divmod(position, self.count)
        self._enter(number, self.rows)
        chosen = self._order[place * self.rows // self.count : (place + 1) * self.rows // self.count]
        return [self.sorted[self._members[self._borders[row] : self._borders[row + 1]]] for row in chosen]


class BucketRows(ConversationBatches):
    """Rows of similar length, padded to the longest of their batch."""

    def __init__(self, conversations: Conversations, settings: ChatTraining, padding: int, shuffled: bool) -> None:
        super().__init__(conversations, settings, padding, shuffled)
        self.lengths = conversations.lengths[self.sorted]
        self._borders = cuts(self.lengths[:, None], settings.batch_tokens)
        self.rows, self.count = len(self.lengths), len(self._borders) - 1

    def room(self) -> int:
        """See `ConversationBatches.room`."""
        return sum(int(self.lengths[a]) * (b - a) for a, b in zip(self._borders[:-1], self._borders[1:], strict=True))

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        rows = self._rows(position)
        return self._tensors(rows, int(self.conversations.lengths[rows[0]].max()))

    def _rows(self, position: int) -> list[Ids]:
        number, place = divmod(position, self.count)
        self._enter(number, self.count)
        first, last = self._borders[self._order[place]], self._borders[self._order[place] + 1]
        return [self.sorted[row : row + 1] for row in range(first, last)]
