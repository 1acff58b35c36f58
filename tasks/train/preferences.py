"""Batches of preference pairs: the conversation with the chosen answer and the one with the rejected answer.

A batch of n pairs has 2n rows, first the chosen ones, then the rejected ones in the same order, and

input_ids, attention_mask  int64 [2n, longest]
labels                     int64 [2n, longest], each position's next token; only the last answer, its end of turn
                           included, is labeled
pairs                      int64 [n], the place of each pair among those used
reference                  float32 [2n], the base's log-probabilities in nats, for a loss with a reference
mismatched_*               the same for KTO, of rows that are each a prompt with the answer to another one

Batches are cut and shuffled as in `tasks.train.buckets`; the length of a pair is that of its longer conversation,
counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tasks.formats.rows import IGNORED, Ids, Row, padded
from tasks.formats.tokens import REJECTED, Answers, Tokens
from tasks.stage.errors import DataError, RecipeError
from tasks.train.batches import Batch, Batches, Data, find_asked
from tasks.train.buckets import BucketBatches
from tasks.train.loss import MISMATCHED
from tasks.train.mixture import MixedBatches, Source
from tasks.train.settings import KtoSettings, PreferenceTraining


@dataclass(frozen=True)
class Side:
    """The conversations of a split with one of the two answers."""

    tokens: Tokens
    spans: Ids
    """[documents, 2] Start and end of the last answer, within the document."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises DataError if the files are missing or damaged, or a conversation has not exactly one answer."""
        tokens = Tokens.open(folder)
        answers = Answers.open(folder, tokens)
        if (np.diff(answers.first) != 1).any():
            raise DataError(f"{folder}: answers.npy: a preference has one answer per conversation, its last")
        return cls(tokens, answers.spans - tokens.starts[:-1, None])

    def row(self, number: int) -> tuple[Ids, Ids]:
        """Prompt and answer of a document, as ids."""
        ids, (start, stop) = self.tokens.document(number), self.spans[number]
        return ids[:start], ids[start:stop]


@dataclass(frozen=True)
class Preferences:
    """The pairs used from a split."""

    chosen: Side
    rejected: Side
    numbers: Ids
    """[pairs] Their indices in the split."""
    lengths: Ids
    """[pairs, 2] Tokens of the conversation with the chosen and with the rejected answer."""
    partners: Ids | None = None
    """KTO: [pairs] The place of the pair whose answers stand after the prompt of each pair."""

    def some(self, count: int | None, spaced: bool) -> Self:
        """Only `count` of them (None: all): the first, or evenly spaced ones."""
        total = len(self.numbers)
        count = min(count or total, total)
        return self._at(np.arange(count) * total // count if spaced else np.arange(count))

    def of(self, source: Source, where: str) -> Self:
        """Those of one source of a mixture. Raises RecipeError if it has none."""
        own = (self.numbers >= source.documents.start) & (self.numbers < source.documents.stop)
        if not own.any():
            raise RecipeError(f"{where}: train.context_length: no pair of the source {source.name} fits")
        return self._at(np.flatnonzero(own))

    def _at(self, places: Ids) -> Self:
        return type(self)(self.chosen, self.rejected, self.numbers[places], self.lengths[places])

    def matched(self) -> Self:
        """With partners: each pair's neighbor by length, so that two pairs with one prompt rarely meet."""
        order = np.lexsort((self.numbers, self.lengths[:, 0]))
        partners = np.empty_like(order)
        partners[order] = np.roll(order, 1)
        return type(self)(self.chosen, self.rejected, self.numbers, self.lengths, partners)


@dataclass(frozen=True)
class PreferenceLayout:
    """How pairs become tensors."""

    padding: int
    """Padding id."""
    longest: int
    """Maximum tokens of a row."""
    joined: bool = False

    def widths(self, lengths: Ids) -> Ids:
        """[pairs, 2] The padded length of both rows of a pair."""
        return np.repeat(lengths.max(axis=1, keepdims=True), 2, axis=1)

    def tensors(self, pairs: Preferences, places: Ids) -> Batch:
        """The batch of the pairs at `places`."""
        import torch

        sides = (pairs.chosen, pairs.rejected)
        batch = self._rows([side.row(int(pairs.numbers[place])) for side in sides for place in places])
        batch["pairs"] = torch.from_numpy(np.asarray(places, np.int64))
        if pairs.partners is not None:
            rows = []
            for side in sides:
                for place in places:
                    prompt, _ = side.row(int(pairs.numbers[place]))
                    _, answer = side.row(int(pairs.numbers[pairs.partners[place]]))
                    rows.append((prompt, answer[: max(1, self.longest - len(prompt))]))
            others = find_asked(self._rows(rows))
            batch |= {f"{MISMATCHED}{name}": part for name, part in others.items()}
        return batch

    def _rows(self, rows: Sequence[tuple[Row, Row]]) -> Batch:
        import torch

        ids, mask = padded([np.concatenate(row) for row in rows], self.padding)
        labels = np.full_like(ids, IGNORED)
        for number, (prompt, answer) in enumerate(rows):
            labels[number, len(prompt) - 1 : len(prompt) - 1 + len(answer)] = answer
        arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class PreferenceBatches(BucketBatches):
    """Batches of pairs. With a reference, `reference` has to be set before the first batch is trained on."""

    documents: Preferences  # type: ignore[assignment]
    reference: dict[str, NDArray[np.float32]]
    """By key (`reference`, `mismatched_reference`): the base's log-probabilities in nats [pairs, 2]."""

    def __init__(self, pairs: Preferences, settings: PreferenceTraining, layout: PreferenceLayout, shuffled: bool):
        super().__init__(pairs, settings, layout, shuffled)  # type: ignore[arg-type]
        self.reference = {}

    def padding_share(self) -> float:
        """Fraction of padding among all tokens of a pass, 0 to 1."""
        widths = self.layout.widths(self.documents.lengths)[self.sorted]
        room = sum(int(part.max()) * part.size for part in np.split(widths, self.borders[1:-1]))
        return 1 - float(self.documents.lengths.sum()) / room

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        import torch

        batch = super().batch(position)
        places = batch["pairs"].numpy()
        found = {key: torch.from_numpy(values[places].T.ravel()) for key, values in self.reference.items()}
        return batch | found


def preference_data(
    folders: dict[str, Path], settings: PreferenceTraining, padding: int, where: str, sources: Sequence[Source] = (),
    mixed: bool = False,
) -> Data:  # fmt: skip
    """Batches of both splits; `folders`: of the tokens of `train` and `validation`; `where`: the recipe's file;
    `sources`: those of a mixture with weights; `mixed`: whether it is a mixture at all.

    Raises DataError as `Side.open`, and RecipeError if too few pairs are left.
    """
    facts: dict[str, object] = {}
    made: dict[str, Batches] = {}
    layout = PreferenceLayout(padding, settings.context_length)
    for name, folder in folders.items():
        training = name == "train"
        pairs, told = choose(folder, settings)
        if not len(pairs.numbers):
            raise RecipeError(f"{where}: the {name} split {_none_left(told, settings)}")
        pairs = pairs.some(None if training else settings.evaluation_documents, spaced=mixed)
        groups = [pairs.of(source, where) for source in sources] if training and sources else [pairs]
        if isinstance(settings.loss, KtoSettings):
            groups = [_matched(own, name, where) for own in groups]
        each = [PreferenceBatches(own, settings, layout, shuffled=training) for own in groups]
        made[name] = MixedBatches(sources, each) if training and sources else each[0]
        rows = [len(own.numbers) for own in groups]
        share = float(np.average([batches.padding_share() for batches in each], weights=rows))
        facts["training" if training else name] = told | {"batches": made[name].count, "padding": round(share, 6)}
    return Data(made["train"], made["validation"], facts)


def preference_batches(data: Data) -> dict[str, PreferenceBatches]:
    """The batches of pairs in a training's data: `validation`, and `training` or one per source of a mixture."""
    found = {"training": data.training, "validation": data.validation}
    if isinstance(data.training, MixedBatches):
        del found["training"]
        found |= {f"training/{number}": own for number, own in enumerate(data.training.batches)}
    return {name: own for name, own in found.items() if isinstance(own, PreferenceBatches)}


def _matched(pairs: Preferences, name: str, where: str) -> Preferences:
    if len(pairs.numbers) < 2:
        raise RecipeError(
            f"{where}: the {name} split has one pair, but kto needs two: it compares each "
            "prompt with the answer to another one"
        )
    return pairs.matched()


def choose(folder: Path, settings: PreferenceTraining) -> tuple[Preferences, dict[str, int]]:
    """The pairs that fit, and how many were left out because they are too long or both sides have the same ids."""
    chosen, rejected = Side.open(folder), Side.open(folder / REJECTED)
    if (one := chosen.tokens.index.documents) != (other := rejected.tokens.index.documents):
        raise DataError(f"{folder}: {one:,} chosen answers, but {other:,} rejected ones: not tokenized together")
    lengths = np.stack([np.diff(side.tokens.starts) for side in (chosen, rejected)], axis=1).astype(np.int64)
    long = lengths.max(axis=1, initial=0) > settings.context_length
    alike = np.array([_alike(chosen, rejected, number) for number in range(one)], bool)
    numbers = np.flatnonzero(~(long | alike))
    told = {"pairs": len(numbers), "left_out": int(long.sum()), "alike": int((alike & ~long).sum())}
    return Preferences(chosen, rejected, numbers, lengths[numbers]), told


def _alike(chosen: Side, rejected: Side, number: int) -> bool:
    starts = (side.tokens.starts[number : number + 2] for side in (chosen, rejected))
    if len({int(stop - start) for start, stop in starts}) > 1:
        return False
    return bool(np.array_equal(chosen.tokens.document(number), rejected.tokens.document(number)))


def _none_left(told: dict[str, int], settings: PreferenceTraining) -> str:
    """Why a split has no pairs."""
    reasons = [
        f"{told['left_out']:,} exceed train.context_length {settings.context_length}" if told["left_out"] else "",
        f"{told['alike']:,} have the same answer on both sides" if told["alike"] else "",
    ]
    left_out = " and ".join(reason for reason in reasons if reason)
    return f"has no pairs to train on: {left_out}" if left_out else "is empty"
