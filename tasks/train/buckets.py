"""Batches of documents of similar length, to minimize padding: for pairs and classification.

Documents are sorted by length (text, then target; the sum if both share a sequence) and cut into batches of at most
`batch_tokens` tokens, counting padding; a longer document is a batch of its own. Every pass shuffles documents of equal
length and the order of batches, using a generator seeded with (seed, pass). The cuts stay the same, so every pass has
the same number of batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from tasks.formats.rows import Ids, joined, padded, shifted
from tasks.formats.tokens import Answers, Labels, Tokens
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.task import PAIRS
from tasks.train.batches import Batch, Batches, Data
from tasks.train.mixture import MixedBatches, Source
from tasks.train.settings import BucketTraining, PairTraining

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Sides:
    """A tokenized split: `target` is set for pairs, `labels` for classification, `answers` for conversations."""

    text: Tokens
    target: Tokens | None = None
    labels: Labels | None = None
    answers: Answers | None = None
    parts: Sequence[tuple[str, range]] = ()
    """Mixtures: the sources, each with the numbers of its documents."""


@dataclass(frozen=True)
class Documents:
    """The documents used from a split, truncated."""

    sides: Sides
    numbers: Ids
    """[documents] Their indices in the split."""
    lengths: Ids
    """[documents, 2] Tokens of text and target after truncation."""

    def text_ids(self, place: int) -> Ids:
        """Token ids of a text, truncated; a closing token is kept."""
        ids = self.sides.text.document(int(self.numbers[place]))
        length = int(self.lengths[place, 0])
        if len(ids) > length:
            closed = ids[-1] == self.sides.text.index.eos_token_id
            ids = np.concatenate([ids[: length - 1], ids[-1:]]) if closed else ids[:length]
        return ids

    def of(self, source: Source, where: str) -> "Documents":
        """Those of one source of a mixture. Raises RecipeError if it has none."""
        own = (self.numbers >= source.documents.start) & (self.numbers < source.documents.stop)
        if not own.any():
            raise RecipeError(f"{where}: no training document of the source {source.name} fits the lengths in train")
        return Documents(self.sides, self.numbers[own], self.lengths[own])

    def target_ids(self, place: int) -> Ids:
        """Token ids of a target."""
        assert self.sides.target is not None
        return self.sides.target.document(int(self.numbers[place]))


@dataclass(frozen=True)
class Layout:
    """How documents become tensors."""

    padding: int
    """Padding id."""
    start: int | None
    """Decoder start id; None if the model is not an encoder-decoder."""
    joined: bool
    """Whether a causal model gets text and target in one sequence and is trained on the target only."""

    @classmethod
    def of(cls, task: str, config: "PretrainedConfig", padding: int) -> Self:
        """The layout for a task and model config."""
        if task not in PAIRS or not config.is_encoder_decoder:
            return cls(padding, None, task in PAIRS)
        start = getattr(config, "decoder_start_token_id", None)
        return cls(padding, padding if start is None else start, False)

    def widths(self, lengths: Ids) -> Ids:
        """Sequence lengths [documents, parts] from the lengths of text and target [documents, 2]."""
        return lengths.sum(axis=1, keepdims=True) if self.joined else lengths

    def tensors(self, documents: Documents, places: Ids) -> Batch:
        """The batch of the documents at `places`."""
        import torch

        texts = [documents.text_ids(place) for place in places]
        targets = [] if documents.sides.target is None else [documents.target_ids(place) for place in places]
        if self.joined:
            batch = joined(texts, targets, self.padding)
        else:
            ids, mask = padded(texts, self.padding)
            batch = {"input_ids": ids, "attention_mask": mask}
            if documents.sides.labels is not None:
                batch["labels"] = documents.sides.labels.indices[documents.numbers[places]]
            elif self.start is not None:
                batch |= shifted(targets, self.padding, self.start)
        return {name: torch.from_numpy(array) for name, array in batch.items()}


def bucket_data(
    train: Sides,
    validation: Sides,
    settings: BucketTraining,
    cut: bool,
    layout: Layout,
    where: str,
    sources: Sequence[Source] = (),
) -> Data:
    """Batches of both splits. `cut`: truncate long texts instead of dropping them; `where`: the recipe's file;
    `sources`: those of a mixture with weights.

    Raises RecipeError if no document is left.
    """
    facts: dict[str, object] = {}
    made: list[Batches] = []
    for name, sides in (("training", train), ("validation", validation)):
        documents, told = choose(sides, settings, cut)
        if not len(documents.numbers):
            limits = " and ".join(_exceeded(sides, settings, cut))
            state = f"has no documents that fit {limits}" if limits else "is empty"
            raise RecipeError(f"{where}: the {name} split {state}")
        if name == "validation":
            count = min(settings.evaluation_documents or len(documents.numbers), len(documents.numbers))
            places = np.arange(count) * len(documents.numbers) // count if sides.parts else np.arange(count)
            documents = Documents(sides, documents.numbers[places], documents.lengths[places])
        if name == "training" and sources:
            each = [BucketBatches(documents.of(source, where), settings, layout, shuffled=True) for source in sources]
            rows = np.array([len(some.documents.numbers) for some in each])
            share = float(np.average([some.padding_share() for some in each], weights=rows))
            made.append(MixedBatches(sources, each))
        else:
            alone = BucketBatches(documents, settings, layout, shuffled=name == "training")
            made.append(alone)
            share = alone.padding_share()
        facts[name] = told | {"batches": made[-1].count, "padding": round(share, 6)}
    return Data(made[0], made[1], facts)


def choose(sides: Sides, settings: BucketTraining, cut: bool) -> tuple[Documents, dict[str, int]]:
    """The documents that fit, and how many were truncated or dropped."""
    text = np.diff(sides.text.starts)
    target = np.zeros_like(text) if sides.target is None else np.diff(sides.target.starts)
    if len(text) != len(target):
        raise DataError(f"{len(text)} texts, but {len(target)} targets: text and target were not tokenized together")
    long_text = text > settings.source_length
    left_out = target > settings.target_length if isinstance(settings, PairTraining) else np.zeros(len(text), bool)
    if not cut:
        left_out |= long_text
    numbers = np.flatnonzero(~left_out)
    lengths = np.stack([np.minimum(text, settings.source_length), target], axis=1)[numbers]
    told = {"documents": len(numbers), "left_out": int(left_out.sum()), "cut": int((long_text & ~left_out).sum())}
    return Documents(sides, numbers, lengths.astype(np.int64)), told


def _exceeded(sides: Sides, settings: BucketTraining, cut: bool) -> Iterator[str]:
    """The keys that drop documents, with the length of the shortest document."""
    given = {"text": None if cut else sides.text, "target": sides.target}
    for side, key in (("text", "source_length"), ("target", "target_length")):
        most, tokens = getattr(settings, key, None), given[side]
        if most is not None and tokens is not None and (lengths := np.diff(tokens.starts)).max(initial=0) > most:
            yield f"train.{key}: {most} (the shortest {side} has {lengths.min():,} tokens)"


def cuts(lengths: Ids, batch_tokens: int) -> list[int]:
    """Batch boundaries, first and last included, in documents sorted by length [documents, parts]."""
    borders, widest = [0], lengths[0]
    for place in range(1, len(lengths)):
        widest = np.maximum(widest, lengths[place])
        if int(widest.sum()) * (place + 1 - borders[-1]) > batch_tokens:
            borders.append(place)
            widest = lengths[place]
    return [*borders, len(lengths)]


class BucketBatches(Batches):
    """Length-sorted batches; the algorithm is in the module's docstring."""

    def __init__(self, documents: Documents, settings: BucketTraining, layout: Layout, shuffled: bool) -> None:
        self.documents, self.seed, self.layout, self.shuffled = documents, settings.seed, layout, shuffled
        self.sorted = self._sort(0)
        widths = layout.widths(documents.lengths)[self.sorted]
        self.borders, self.width = cuts(widths, settings.batch_tokens), int(widths.max())
        if layout.joined and isinstance(settings, PairTraining):
            self.width = settings.source_length + settings.target_length  # new texts may be longer than these
        self.count = len(self.borders) - 1
        self._sizes = np.add.reduceat(widths.sum(axis=1), self.borders[:-1])
        self._pass = self._ordered = -1
        self._order: NDArray[np.int64] = np.arange(self.count)

    def size(self, position: int) -> int:
        """See `Batches.size`. Batches differ between passes by documents of equal length only."""
        number, place = divmod(position, self.count)
        return int(self._sizes[int(self._order_of(number)[place])])

    def _order_of(self, number: int) -> NDArray[np.int64]:
        """The order of the batches in a pass [count]."""
        if self.shuffled and number != self._ordered:
            self._order = np.random.default_rng([self.seed, number, 1]).permutation(self.count)
            self._ordered = number
        return self._order

    def padding_share(self) -> float:
        """Fraction of padding among all tokens of a pass, 0 to 1."""
        lengths = self.layout.widths(self.documents.lengths)[self.sorted]
        batches = np.split(lengths, self.borders[1:-1])
        room = sum(int(batch.max(axis=0).sum()) * len(batch) for batch in batches)
        return 1 - float(lengths.sum()) / room

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        number, place = divmod(position, self.count)
        if self.shuffled and number != self._pass:
            self.sorted = self._sort(number)
            self._pass = number
        chosen = int(self._order_of(number)[place])
        return self.layout.tensors(self.documents, self.sorted[self.borders[chosen] : self.borders[chosen + 1]])

    def _sort(self, number: int) -> NDArray[np.int64]:
        widths = self.layout.widths(self.documents.lengths)
        ties = np.random.default_rng([self.seed, number]).permutation(len(widths))
        return np.lexsort((ties, widths[:, -1], widths[:, 0]))
