"""Batches of packed blocks, for causal and masked models."""

import math
from collections.abc import Sequence

import numpy as np

from tasks.formats.rows import IGNORED, Ids
from tasks.formats.tokens import Tokens
from tasks.stage.errors import DataError
from tasks.train.batches import Batch, Batches, Data
from tasks.train.blocks import Blocks, Cut, Documents, Stream, ValidationBlocks, training_blocks
from tasks.train.buckets import Sides
from tasks.train.mixture import Source
from tasks.train.settings import MaskedTraining, PackedTraining
from tasks.train.vocabulary import Vocabulary

VALIDATION = 1 << 40
"""First validation position: beyond all training positions, so that validation has its own masks."""
KEPT, DRAWN = 0.1, 0.1
"""Fractions of the targets left unchanged and replaced by a random token (Devlin et al. 2018, section 3.1)."""


def of_each_source(split: Sides, most_tokens: int | None) -> Stream:
    """A split as a stream; of a mixture, if only its first tokens count, evenly spaced documents from every source."""
    if not split.parts or most_tokens is None or most_tokens >= len(split.text):
        return split.text
    documents = split.text.index.documents
    wanted = max(math.ceil(documents * most_tokens / len(split.text)), 1)
    return Documents.of(split.text, np.arange(wanted) * documents // wanted)


def causal_data(
    tokens: Tokens,
    validation: Stream,
    settings: PackedTraining,
    opening: Sequence[int],
    where: str,
    sources: Sequence[Source] = (),
) -> Data:
    """Causal batches of both splits: `input_ids` int64 [batch_size, context_length].

    `where`: the recipe's file; `sources`: those of a mixture with weights.
    """
    cut = Cut(settings.context_length)
    blocks = training_blocks(tokens, cut, settings.seed, settings.shuffle == "documents", sources, where)
    return Data(
        CausalBatches(blocks, settings.batch_size, opening),
        CausalBatches(ValidationBlocks(validation, cut, settings.evaluation_tokens), settings.batch_size, opening),
    )


def masked_data(
    tokens: Tokens,
    validation: Stream,
    settings: MaskedTraining,
    vocabulary: Vocabulary,
    where: str,
    sources: Sequence[Source] = (),
) -> Data:
    """Masked batches of both splits; see `causal_data`.

    Raises DataError if the tokenizer lacks a token that masked models need.
    """
    cut = Cut(settings.context_length - len(vocabulary.frame), overlap=0)
    masking = Masking(settings, vocabulary)
    blocks = training_blocks(tokens, cut, settings.seed, settings.shuffle == "documents", sources, where)
    return Data(
        MaskedBatches(blocks, settings.batch_size, masking, 0),
        MaskedBatches(
            ValidationBlocks(validation, cut, settings.evaluation_tokens), settings.batch_size, masking, VALIDATION
        ),
        {"mask_probability": settings.mask_probability},
    )


class PackedBatches(Batches):
    """Batches of `size` blocks; the last validation batch may be smaller."""

    def __init__(self, blocks: Blocks, size: int) -> None:
        self.blocks, self.rows = blocks, size
        self.count = max(-(-blocks.per_pass // size), 1)
        self.width = blocks.cut.length

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """See `Batches.seen`."""
        return self.blocks.seen(positions * self.rows)

    def places(self, position: int) -> range:
        """The block positions of a batch."""
        first = position * self.rows
        last = first + self.rows
        return range(first, min(last, len(self.blocks)) if isinstance(self.blocks, ValidationBlocks) else last)


class CausalBatches(PackedBatches):
    """Each position predicts the next token; the last one has no target.

    If the base begins each text with a token, so does each block: it takes the place of a token that the previous block
    predicts, and itself predicts nothing, except where a document begins.
    """

    def __init__(self, blocks: Blocks, size: int, opening: Sequence[int] = ()) -> None:
        super().__init__(blocks, size)
        self.opening = opening

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        import torch

        ids = np.stack([self.blocks.block(place) for place in self.places(position)])
        labels = np.full_like(ids, IGNORED)
        labels[:, :-1] = ids[:, 1:]
        if (size := len(self.opening)) and size < self.width:
            inside = (ids[:, :size] != self.opening).any(axis=1)
            ids[inside, :size] = self.opening
            labels[inside, :size] = IGNORED
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}


class Masking:
    """BERT's masking: 80 % of the targets become [MASK], 10 % a random token, 10 % stay; never special tokens.

    Devlin et al. 2018 (https://arxiv.org/abs/1810.04805), section 3.1.
    """

    def __init__(self, settings: MaskedTraining, vocabulary: Vocabulary) -> None:
        """Raises DataError if the tokenizer lacks a token that masked models need."""
        if vocabulary.mask is None:
            raise DataError("the tokenizer lacks a mask token, which a masked model needs")
        self.frame, self.hidden = vocabulary.frame, vocabulary.mask
        self.probability, self.seed, self.special = settings.mask_probability, settings.seed, vocabulary.special
        self.others = np.setdiff1d(np.arange(vocabulary.size, dtype=np.int64), vocabulary.special)

    def mask(self, ids: Ids, place: int) -> tuple[Ids, Ids]:
        """Mask the ids [length] of the block at `place`: input ids and labels, both [length]."""
        generator = np.random.default_rng([self.seed, 1, place])
        there = np.flatnonzero(~np.isin(ids, self.special))
        asked = there[generator.random(len(there)) < self.probability]
        if not len(asked) and len(there):
            asked = there[[int(generator.integers(len(there)))]]
        seen, labels = ids.copy(), np.full_like(ids, IGNORED)
        labels[asked] = ids[asked]
        fate = generator.random(len(asked))
        seen[asked[fate >= KEPT]] = self.hidden
        drawn = asked[(fate >= KEPT) & (fate < KEPT + DRAWN)]
        seen[drawn] = generator.choice(self.others, len(drawn))
        return seen, labels


class MaskedBatches(PackedBatches):
    """Blocks in the special tokens that the tokenizer adds around a text ([CLS] and [SEP] of BERT), masked."""

    def __init__(self, blocks: Blocks, size: int, masking: Masking, first: int) -> None:
        super().__init__(blocks, size)
        self.width += len(masking.frame)
        self.masking, self.first = masking, first

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        import torch

        rows, frame = [], self.masking.frame
        for place in self.places(position):
            ids = np.array([*frame.before, *self.blocks.block(place), *frame.behind])
            rows.append(self.masking.mask(ids, self.first + place))
        seen, labels = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
        return {"input_ids": seen, "attention_mask": torch.ones_like(seen), "labels": labels}
