"""Mask tokens of a document, and score a masked model on them.

Method. A document is cut into windows of equal length, each wrapped in the tokenizer's special tokens. Every token is
masked with the same probability; the choice depends only on the seed, the document's id and the token's position, not
on batches, windows or workers. All masked tokens of a window become [MASK] at once (unlike in training, where a tenth
become random tokens and a tenth stay, arXiv 1810.04805, section 3.1). Special tokens are never masked.

    pseudo_perplexity = exp(sum of losses / masked tokens)

The term is from Salazar et al. (ACL 2020, arXiv 1910.14659, section 2.3), who mask one token at a time and see all
others. Masking a fixed share at once takes a hundredth of the work but gives different numbers, comparable only under
the same signature.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import LOGITS, inference, map_batches, on_device
from tasks.evaluate.settings import MaskedEvaluateSettings
from tasks.evaluate.signatures import write_signature
from tasks.formats.rows import padded
from tasks.formats.text_ids import Frame

VERSION = 1
"""Increment when the same model and text would get a different score."""


def signature(settings: MaskedEvaluateSettings, tokenizer: str, text: str) -> str:
    """The signature; `tokenizer` and `text` are SHA-256 hex digests, of which 12 digits are kept."""
    return write_signature({
        "task": "masked-lm", "window": settings.window, "mask": settings.mask_probability, "seed": settings.seed,
        "hidden": "one-mask-all-replaced", "scored": "hidden", "precision": settings.precision,
        "tok": tokenizer[:12], "data": text[:12], "version": f"gristmill-{VERSION}",
    })  # fmt: skip


@dataclass(frozen=True, order=True)
class Window:
    """One model input: `length` tokens of a document from `start`, some of them masked."""

    length: int
    name: str
    start: int
    document: int


@dataclass(frozen=True)
class Guesses:
    """A model's predictions for the masked tokens of a document, in order."""

    losses: NDArray[np.float64]
    """-ln p of each token, in nats [masked]."""
    right: NDArray[np.bool_]
    """Whether the model's most likely token is correct [masked]."""


def hidden_positions(
    name: str, tokens: NDArray[np.int64], special: Sequence[int], probability: float, seed: int
) -> NDArray[np.int64]:
    """Masked positions in a document's tokens, ascending; `special` ids are never masked."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    drawn = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).random(len(tokens))
    return np.flatnonzero((drawn < probability) & ~np.isin(tokens, special))


def guess(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    documents: Sequence[NDArray[np.int64]],
    hidden: Sequence[NDArray[np.int64]],
    settings: MaskedEvaluateSettings,
    workers: int = 1,
) -> list[Guesses]:
    """The model's predictions for each document's masked tokens. The window must not exceed the model's positions."""
    frame = Frame.of(tokenizer)
    room = settings.window - len(frame)
    found = [Guesses(np.empty(len(places)), np.empty(len(places), np.bool_)) for places in hidden]
    windows = sorted(
        Window(min(room, len(ids) - start), names[number], start, number)
        for number, (ids, places) in enumerate(zip(documents, hidden, strict=True))
        for start in sorted({int(place) // room * room for place in places})
    )
    size = max(1, min(settings.batch_size, LOGITS // (settings.window * model.config.get_text_config().vocab_size)))
    batches = [windows[at : at + size] for at in range(0, len(windows), size)]
    work = partial(_guess_batch, model, tokenizer, frame, documents, hidden, settings.precision)
    for batch, rows in map_batches(work, batches, model, workers):
        for window, (part, guesses) in zip(batch, rows, strict=True):
            found[window.document].losses[part] = guesses.losses
            found[window.document].right[part] = guesses.right
    return found


def _guess_batch(
    model: Any,
    tokenizer: Any,
    frame: Frame,
    documents: Sequence[NDArray[np.int64]],
    hidden: Sequence[NDArray[np.int64]],
    precision: str,
    batch: Sequence[Window],
) -> list[tuple[slice, Guesses]]:
    """For each window, the slice of its document's masked tokens, and the predictions for them."""
    import torch

    rows, places, wanted, parts = [], [], [], []
    for number, window in enumerate(batch):
        ids = documents[window.document][window.start : window.start + window.length].copy()
        ends = np.searchsorted(hidden[window.document], [window.start, window.start + window.length])
        parts.append(slice(*ends.tolist()))
        own = hidden[window.document][parts[-1]] - window.start
        wanted.append(ids[own])
        ids[own] = tokenizer.mask_token_id
        rows.append([*frame.before, *ids.tolist(), *frame.behind])
        places.append(np.stack([np.full(len(own), number), own + len(frame.before)]))
    with inference(model, precision) as device:
        inputs, mask = on_device(padded(rows, tokenizer.pad_token_id or 0), device)
        at, target = on_device((np.concatenate(places, 1), np.concatenate(wanted)), device)
        picked = model(input_ids=inputs, attention_mask=mask).logits[at[0], at[1]].float()
        losses = torch.nn.functional.cross_entropy(picked, target, reduction="none").double().cpu().numpy()
        right = (picked.argmax(1) == target).cpu().numpy()
    ends = np.cumsum([len(own) for own in wanted])[:-1]
    guesses = map(Guesses, np.split(losses, ends), np.split(right, ends))
    return list(zip(parts, guesses, strict=True))
