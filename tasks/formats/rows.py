"""Batches of token ids: padded, joined, shifted. Training and evaluation share this layout."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""A label that the loss skips: `ignore_index` of `torch.nn.functional.cross_entropy`."""

Ids = NDArray[np.int64]
Row = Sequence[int] | Ids


def padded(rows: Sequence[Row], padding: int, left: bool = False) -> tuple[Ids, Ids]:
    """Rows of ids as one array [rows, longest], padded on the right (or `left`), and its mask: 1 for tokens."""
    ids = np.full((len(rows), max(1, *map(len, rows))), padding, np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(ids.shape[1] - len(row), None) if left else slice(len(row))
        ids[number, place] = row
        mask[number, place] = 1
    return ids, mask


def joined(texts: Sequence[Row], targets: Sequence[Row], padding: int) -> dict[str, Ids]:
    """Text and target in one sequence, for a causal model: `input_ids`, `attention_mask` and `labels` (already shifted:
    each position's next token), all [rows, longest]. Only target tokens are labeled."""
    ids, mask = padded([np.concatenate(pair) for pair in zip(texts, targets, strict=True)], padding)
    labels = np.full_like(ids, IGNORED)
    for row, (text, target) in enumerate(zip(texts, targets, strict=True)):
        labels[row, len(text) - 1 : len(text) - 1 + len(target)] = target
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def shifted(targets: Sequence[Row], padding: int, start: int) -> dict[str, Ids]:
    """Targets for a decoder that starts with `start`: `decoder_input_ids` and `labels`, both [rows, longest]."""
    ids, real = padded(targets, padding)
    begun = np.concatenate([np.full((len(ids), 1), start), ids[:, :-1]], axis=1)
    return {"decoder_input_ids": begun, "labels": np.where(real == 1, ids, IGNORED)}
