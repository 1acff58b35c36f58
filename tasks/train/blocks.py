"""Blocks of tokens in an order that is a pure function of the seed and the position, so that a resume is one integer.

The stream of a split (documents back to back, each closed by the end-of-text token) is cut into blocks; two neighbours
share one token, so that every token but the first is predicted once in a pass.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.contract.tokens import Tokens


def blocks_per_pass(tokens: int, length: int) -> int:
    """Training blocks in one pass over `tokens`. One is given up for the offset, which differs in every pass."""
    return max((tokens - 1) // (length - 1) - 1, 1)


class TrainingBlocks:
    """Item `position` is block `position` of the training, ids int64 [length].

    Each pass shuffles the blocks and shifts all their borders, by a generator seeded with (seed, pass).
    """

    def __init__(self, tokens: Tokens, length: int, blocks: int, seed: int) -> None:
        self.tokens, self.length, self.blocks, self.seed = tokens, length, blocks, seed
        self.per_pass = blocks_per_pass(len(tokens), length)
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._offset = 0

    def __len__(self) -> int:
        return self.blocks

    def __getitem__(self, position: int) -> NDArray[np.int64]:
        number, place = divmod(position, self.per_pass)
        if number != self._pass:
            generator = np.random.default_rng([self.seed, number])
            self._order = generator.permutation(self.per_pass)
            slack = len(self.tokens) - 1 - self.per_pass * (self.length - 1)
            self._offset = int(generator.integers(min(slack, self.length - 2) + 1))
            self._pass = number
        start = self._offset + int(self._order[place]) * (self.length - 1)
        return self.tokens.slice(start, start + self.length)


class ValidationBlocks:
    """The blocks of a split in its order, from its start; what is left at its end and fills no block is left out."""

    def __init__(self, tokens: Tokens, length: int, most_tokens: int | None) -> None:
        self.tokens, self.length = tokens, length
        self.blocks = (len(tokens) - 1) // (length - 1)
        if most_tokens is not None:
            self.blocks = max(min(self.blocks, most_tokens // (length - 1)), 1)

    def __len__(self) -> int:
        return self.blocks

    def __getitem__(self, position: int) -> NDArray[np.int64]:
        if not 0 <= position < self.blocks:
            raise IndexError(position)
        start = position * (self.length - 1)
        return self.tokens.slice(start, start + self.length)


def collate(blocks: Sequence[NDArray[np.int64]]) -> dict[str, object]:
    """A batch for a causal model: input_ids and labels, int64 [blocks, length]; the model shifts the labels."""
    import torch

    ids = torch.from_numpy(np.stack(blocks))
    return {"input_ids": ids, "labels": ids}
