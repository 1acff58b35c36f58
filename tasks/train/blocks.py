"""Fixed-length token blocks in an order that is a pure function of seed and position, so resuming needs one integer.

The token stream of a split (concatenated documents, each with a closing token) is cut into blocks. For causal models,
neighboring blocks overlap by one token, so each pass predicts every token but the first once. For masked models they
do not overlap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.formats.tokens import Tokens


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


class TrainingBlocks:
    """Training blocks by position, unlimited: `block(position)` gives ids int64 [length].

    Each pass shuffles the blocks and shifts their boundaries, using a generator seeded with (seed, pass).
    """

    def __init__(self, tokens: Tokens, cut: Cut, seed: int) -> None:
        self.tokens, self.cut, self.seed = tokens, cut, seed
        self.per_pass = cut.per_pass(len(tokens))
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
            self._pass = number
        start = self._offset + int(self._order[place]) * self.cut.stride
        return self.tokens.slice(start, start + self.cut.length)


class ValidationBlocks:
    """The blocks of a split in order; an incomplete last block is dropped."""

    def __init__(self, tokens: Tokens, cut: Cut, most_tokens: int | None) -> None:
        self.tokens, self.cut = tokens, cut
        used = min(len(tokens) - cut.overlap, most_tokens or len(tokens))
        self.blocks = max(used // cut.stride, 1)

    def __len__(self) -> int:
        return self.blocks

    def block(self, position: int) -> NDArray[np.int64]:
        """Ids int64 [length]."""
        start = position * self.cut.stride
        return self.tokens.slice(start, start + self.cut.length)
