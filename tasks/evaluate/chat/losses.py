"""The loss of each answer's tokens, the end of the turn included, given all turns before it.

A conversation is one model input, so all of its answers are scored at once, each with the true turns before it. One
that exceeds the model's positions even with a single question (`tasks.evaluate.chat.model`) is read in windows that
advance by half of the positions; each token of an answer is scored once.

Results are bit-identical for any number of workers: see `tasks.evaluate.batches`.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import LOGITS, inference, map_batches, on_device
from tasks.evaluate.chat.model import Piece

Losses = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Window:
    """One model input: tokens start … stop - 2 of a piece, of whose predictions those of first … stop - 1 are kept."""

    length: int
    context: int
    """Predictions before the first one that is kept."""
    name: str
    piece: int
    start: int

    @property
    def first(self) -> int:
        """The first token that is scored."""
        return self.start + 1 + self.context

    @property
    def stop(self) -> int:
        """One past the last token that is scored."""
        return self.start + 1 + self.length


def windows_of(number: int, piece: Piece, name: str, limit: int | None) -> Iterator[Window]:
    """Windows of at most `limit` tokens that score each token of the piece's answers once."""
    done, end = max(1, piece.answers[0].start), piece.answers[-1].stop
    while done < end:
        start = 0 if limit is None else max(0, min(done + limit // 2, end) - 1 - limit)
        stop = end if limit is None else min(end, start + limit + 1)
        yield Window(length=stop - start - 1, context=done - start - 1, name=name, piece=number, start=start)
        done = stop


def piece_losses(
    model: Any, pieces: Sequence[Piece], names: Sequence[str], limit: int | None, batch_size: int, precision: str,
    workers: int,
) -> list[Losses]:  # fmt: skip
    """-ln p of each token in nats, an array [tokens] per piece; nan for tokens that are not scored.

    `model`: a causal `transformers` model in eval mode. `limit`: its positions. `names`: the document of each piece.
    """
    found = [np.full(len(piece.ids), np.nan) for piece in pieces]
    windows = sorted(
        window
        for number, (piece, name) in enumerate(zip(pieces, names, strict=True))
        for window in windows_of(number, piece, name, limit)
    )
    vocabulary = model.config.get_text_config().vocab_size
    for batch, rows in map_batches(
        lambda batch: _losses(model, pieces, batch, precision),
        list(_batches(windows, batch_size, LOGITS // vocabulary)),
        model,
        workers,
    ):
        for window, row in zip(batch, rows, strict=True):
            found[window.piece][window.first : window.stop] = row
    return found


def _batches(windows: Sequence[Window], size: int, most: int) -> Iterator[list[Window]]:
    """Windows in order, in batches of at most `size`, and of at most `most` tokens with padding."""
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == size or (len(batch) + 1) * window.length > most):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _losses(model: Any, pieces: Sequence[Piece], batch: Sequence[Window], precision: str) -> list[NDArray[np.float32]]:
    import torch

    width, context = max(window.length for window in batch), min(window.context for window in batch)
    # Attention is causal and padding is on the right, so no token sees padding and no mask is needed.
    inputs, targets = np.zeros((2, len(batch), width), np.int64)
    for row, window in enumerate(batch):
        tokens = pieces[window.piece].ids[window.start : window.stop]
        inputs[row, : window.length], targets[row, : window.length] = tokens[:-1], tokens[1:]
    known = "logits_to_keep" in inspect.signature(model.forward).parameters
    with inference(model, precision) as device:
        ids, wanted = on_device((inputs, targets[:, context:]), device)
        logits = model(input_ids=ids, use_cache=False, **({"logits_to_keep": width - context} if known else {})).logits
        flat = torch.nn.functional.cross_entropy(
            logits[:, context - width :].float().flatten(0, 1), wanted.flatten(), reduction="none"
        )
        found = flat.view(wanted.shape).cpu().numpy()
    return [found[row, window.context - context : window.length - context] for row, window in enumerate(batch)]
