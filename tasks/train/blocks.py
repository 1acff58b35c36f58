"""Fixed-length token blocks in an order that is a pure function of seed and position, so resuming needs one integer.

The token stream of a split (concatenated documents, each with a closing token) is cut into blocks. For causal models,
neighboring blocks overlap by one token, so each pass predicts every token but the first once. For masked models they
do not overlap.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.formats.tokens import Tokens
from tasks.stage.errors import RecipeError
from tasks.train.mixture import EqualTurns, Source, by_epochs, pass_of, told


class Stream(Protocol):
    """Tokens in a row."""

    def __len__(self) -> int: ...

    def slice(self, start: int, stop: int) -> NDArray[np.int64]:
        """Ids [stop - start]."""


@dataclass(frozen=True)
class Documents:
    """Some documents of a split, one after the other in the given order."""

    tokens: Tokens
    numbers: NDArray[np.int64]
    """[documents]"""
    ends: NDArray[np.int64]
    """[documents] Where each ends in this stream."""

    @classmethod
    def of(cls, tokens: Tokens, numbers: NDArray[np.int64]) -> "Documents":
        """The stream of these documents."""
        return cls(tokens, numbers, np.cumsum(np.diff(tokens.starts)[numbers], dtype=np.int64))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def slice(self, start: int, stop: int) -> NDArray[np.int64]:
        """See `Stream.slice`."""
        at = int(np.searchsorted(self.ends, start, side="right"))
        parts = [np.empty(0, np.int64)]
        while start < stop and at < len(self.ends):
            number, end = int(self.numbers[at]), int(self.ends[at])
            shift = int(self.tokens.starts[number + 1]) - end
            parts.append(self.tokens.slice(start + shift, min(stop, end) + shift))
            start, at = min(stop, end), at + 1
        return np.concatenate(parts)

    def shuffled(self, generator: np.random.Generator) -> "Documents":
        """The same documents in another order."""
        return Documents.of(self.tokens, generator.permutation(self.numbers))


@dataclass(frozen=True)
class Cut:
    """Block length and overlap, in tokens."""

    length: int
    overlap: int = 1

    @property
    def stride(self) -> int:
        """Distance between the starts of neighboring blocks."""
        return self.length - self.overlap

    def per_pass(self, tokens: int) -> int:
        """Training blocks in one pass over `tokens`: one less than fit, to leave room for a random offset."""
        return max((tokens - self.overlap) // self.stride - 1, 1)


class Blocks(ABC):
    """Blocks by position, unlimited for training."""

    cut: Cut
    per_pass: int

    @abstractmethod
    def block(self, position: int) -> NDArray[np.int64]:
        """Ids int64 [length]."""

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """See `Batches.seen`."""
        return {}


class TrainingBlocks(Blocks):
    """Training blocks of one source.

    Each pass shuffles the blocks and shifts their boundaries, using a generator seeded with (seed, pass); documents
    that are given as such come in a new order, too.
    """

    def __init__(self, tokens: Stream, cut: Cut, seed: int) -> None:
        self.tokens, self.cut, self.seed = tokens, cut, seed
        self.per_pass = cut.per_pass(len(tokens))
        self._stream = tokens
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._offset = 0

    def block(self, position: int) -> NDArray[np.int64]:
        """The block at a training position, ids int64 [length]."""
        number, place = divmod(position, self.per_pass)
        if number != self._pass:
            generator = np.random.default_rng([self.seed, number])
            self._order = generator.permutation(self.per_pass)
            slack = len(self.tokens) - self.cut.overlap - self.per_pass * self.cut.stride
            self._offset = int(generator.integers(min(slack, self.cut.stride - 1) + 1))
            if isinstance(self.tokens, Documents):
                self._stream = self.tokens.shuffled(generator)
            self._pass = number
        start = self._offset + int(self._order[place]) * self.cut.stride
        return self._stream.slice(start, start + self.cut.length)


class MixedBlocks(Blocks):
    """Training blocks of a mixture, in turns by the shares of its sources."""

    def __init__(self, sources: Sequence[Source], blocks: Sequence[TrainingBlocks]) -> None:
        sizes = [some.per_pass for some in blocks]
        self.sources, self.blocks = by_epochs(sources, sizes), blocks
        self.cut, self.turns = blocks[0].cut, EqualTurns([source.share for source in self.sources])
        self.per_pass = pass_of(sources, sizes)

    def block(self, position: int) -> NDArray[np.int64]:
        """See `Blocks.block`."""
        source, number = self.turns.at(position)
        return self.blocks[source].block(number)

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """See `Batches.seen`."""
        return told(self.sources, self.turns.counts(positions), [some.per_pass for some in self.blocks])


def training_blocks(
    tokens: Tokens, cut: Cut, seed: int, by_document: bool, sources: Sequence[Source], where: str
) -> Blocks:
    """The training blocks of a split, or of a mixture with weights. `by_document`: each pass orders the documents anew.

    Raises RecipeError for a source that is smaller than one block.
    """

    def blocks(documents: range) -> TrainingBlocks:
        return TrainingBlocks(Documents.of(tokens, np.arange(documents.start, documents.stop)), cut, seed)

    if not sources:
        return blocks(range(tokens.index.documents)) if by_document else TrainingBlocks(tokens, cut, seed)
    for source in sources:
        size = int(tokens.starts[source.documents.stop] - tokens.starts[source.documents.start])
        if size < cut.length:
            raise RecipeError(
                f"{where}: train.context_length: the source {source.name} has {size:,} training tokens, fewer than one "
                f"block of {cut.length}"
            )
    return MixedBlocks(sources, [blocks(source.documents) for source in sources])


class ValidationBlocks(Blocks):
    """The blocks of a split in order; an incomplete last block is dropped."""

    def __init__(self, tokens: Stream, cut: Cut, most_tokens: int | None) -> None:
        self.tokens, self.cut = tokens, cut
        used = min(len(tokens) - cut.overlap, most_tokens or len(tokens))
        self.per_pass = max(used // cut.stride, 1)

    def __len__(self) -> int:
        return self.per_pass

    def block(self, position: int) -> NDArray[np.int64]:
        """Ids int64 [length]."""
        start = position * self.cut.stride
        return self.tokens.slice(start, start + self.cut.length)
