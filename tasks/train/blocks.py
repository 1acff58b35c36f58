"""Blocks of tokens in an order that is a pure function of the seed and the position, so that a resume is one integer.

The stream of a split (documents back to back, each closed by one token) is cut into blocks. Of a causal model two
neighbours share one token, so that every token but the first is predicted once in a pass; of a masked model none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.formats.tokens import Tokens


@dataclass(frozen=True)
class Cut:
    """How a stream is cut."""

    length: int
    overlap: int = 1
    """Tokens that two neighbours share."""

    @property
    def stride(self) -> int:
        """From the start of a block to that of the next one."""
        return self.length - self.overlap

    def per_pass(self, tokens: int) -> int:
        """Training blocks in one pass over `tokens`. One is given up for the offset, which differs in every pass."""
        return max((tokens - self.overlap) // self.stride - 1, 1)


class TrainingBlocks:
    """`block(position)` of the training, ids int64 [length], without end.

    Each pass shuffles the blocks and shifts all their borders, by a generator seeded with (seed, pass).
    """

    def __init__(self, tokens: Tokens, cut: Cut, seed: int) -> None:
        self.tokens, self.cut, self.seed = tokens, cut, seed
        self.per_pass = cut.per_pass(len(tokens))
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._offset = 0

    def block(self, position: int) -> NDArray[np.int64]:
        """The block at a position of the training."""
        number, place = divmod(position, self.per_pass)
        if number != self._pass:
            generator = np.random.default_rng([self.seed, number])
            self._order = generator.permutation(self.per_pass)
            slack = len(self.tokens) - self.cut.overlap - self.per_pass * self.cut.stride
            self._offset = int(generator.integers(min(slack, self.cut.stride - 1) + 1))
            self._pass = number
        start = self._offset + int(self._order[place]) * self.cut.stride
        return self.tokens.slice(start, start + self.cut.length)


class ValidationBlocks:
    """The blocks of a split in its order, from its start; what is left at its end and fills no block is left out."""

    def __init__(self, tokens: Tokens, cut: Cut, most_tokens: int | None) -> None:
        self.tokens, self.cut = tokens, cut
        self.blocks = max((len(tokens) - cut.overlap) // cut.stride, 1)
        if most_tokens is not None:
            self.blocks = max(min(self.blocks, most_tokens // cut.stride), 1)

    def __len__(self) -> int:
        return self.blocks

    def block(self, position: int) -> NDArray[np.int64]:
        """Ids int64 [length]."""
        start = position * self.cut.stride
        return self.tokens.slice(start, start + self.cut.length)
