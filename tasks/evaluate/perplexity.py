"""The loss of a causal language model on documents, token by token, and the signature that a score travels with.

Method. A document t_1 … t_n is scored as the model would have met it in training: right after an end-of-text token,
which is context and not scored; the end-of-text token behind the document is not scored either, so that exactly the
tokens of the text are, each once, and their sum can be set against the bytes of the text. The first window scores its
`window` tokens from the document's start; every later one scores the next `stride` tokens (the last: what is left) and
is filled up to `window` with the tokens before them, so that each of its tokens is conditioned on at least
`window - stride + 1` tokens (Baevski & Auli, arXiv 1809.10853, section 4.5; rolling windows as in
lm-evaluation-harness, but with a stride). No context goes over the start of a document.

    perplexity    = exp(sum of losses / tokens)
    bits_per_byte = sum of losses / ln 2 / UTF-8 bytes of the text     (arXiv 2101.00027, section 3.1)

The same to the bit for every number of workers: see `tasks.evaluate.batches`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import LOGITS, map_batches

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Counts up whenever the same model and text would get another score."""


@dataclass(frozen=True)
class Scoring:
    """How text is scored; together with tokenizer and text it makes the signature."""

    window: int
    stride: int
    precision: str
    batch_size: int = 16

    def signature(self, tokenizer: str, text: str, unknown: int) -> str:
        """`key:value|…` as sacrebleu writes them; scores are comparable where it is equal.

        `tokenizer` and `text` are SHA-256 digests in hex; 12 digits of each are kept. bits_per_byte stays comparable
        where only `tok` differs. `unknown`: tokens that stand for text which the tokenizer has no token for, and which
        is in the bytes, but not in the losses.
        """
        lost = f"|unknown:{unknown}" if unknown else ""
        return (
            f"task:causal-lm|window:{self.window}|stride:{self.stride}|context:eos|scored:text|norm:utf8-bytes"
            f"|precision:{self.precision}|tok:{tokenizer[:12]}|data:{text[:12]}|version:gristmill-{VERSION}{lost}"
        )


@dataclass(frozen=True, order=True)
class Window:
    """One input of the model: positions start … stop - 1 of a document with the end-of-text token before it.

    The position i predicts the document's token i; those from `first` on are scored.
    """

    length: int
    context: int
    document: int
    start: int

    @property
    def first(self) -> int:
        """The first position that is scored."""
        return self.start + self.context

    @property
    def stop(self) -> int:
        """Behind the last position."""
        return self.start + self.length


def windows_of(document: int, tokens: int, window: int, stride: int) -> Iterator[Window]:
    """The windows that score each of a document's `tokens` once. Raises ValueError unless 1 ≤ stride ≤ window."""
    if not 1 <= stride <= window:
        raise ValueError(f"a stride of {stride} in a window of {window}")
    done = 0
    while done < tokens:
        stop = min(done + stride if done else window, tokens)
        start = max(stop - window, 0)
        yield Window(length=stop - start, context=done - start, document=document, start=start)
        done = stop


def token_losses(
    model: Any,
    documents: Sequence[NDArray[np.int64]],
    eos_token_id: int,
    scoring: Scoring,
    workers: int = 1,
    scored: Callable[[int], object] = lambda tokens: None,
) -> list[NDArray[np.float64]]:
    """-ln p of every token of every document, in nats: one array [tokens] per document.

    `model` is a causal `transformers` model in eval mode, on the device where it shall run; `documents` are ids without
    any end-of-text token around them. `scored` is told how many tokens more are done. The caller sees to it that
    `scoring.window` does not exceed the model's positions.
    """
    sequences = [np.concatenate([[eos_token_id], document]) for document in documents]
    losses = [np.empty(len(document), np.float64) for document in documents]
    windows = sorted(
        window
        for number, document in enumerate(documents)
        for window in windows_of(number, len(document), scoring.window, scoring.stride)
    )
    size = max(1, min(scoring.batch_size, LOGITS // (scoring.window * model.config.get_text_config().vocab_size)))
    batches = [windows[at : at + size] for at in range(0, len(windows), size)]
    for batch, values in map_batches(
        lambda batch: _batch_losses(model, sequences, batch, scoring.precision), batches, model, workers
    ):
        for window, row in zip(batch, values, strict=True):
            losses[window.document][window.first : window.stop] = row
        scored(sum(len(row) for row in values))
    return losses


def _batch_losses(
    model: Any, sequences: Sequence[NDArray[np.int64]], batch: Sequence[Window], precision: str
) -> list[NDArray[np.float32]]:
    import torch

    device = next(model.parameters()).device
    width, context = max(window.length for window in batch), min(window.context for window in batch)
    # Padding is on the right, and attention is causal: what is real never sees it, so there is no mask to slow it down.
    inputs = np.zeros((len(batch), width), np.int64)
    targets = np.zeros((len(batch), width), np.int64)
    for row, window in enumerate(batch):
        inputs[row, : window.length] = sequences[window.document][window.start : window.stop]
        targets[row, : window.length] = sequences[window.document][window.start + 1 : window.stop + 1]
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = _logits(model, torch.from_numpy(inputs).to(device), context)
    with torch.inference_mode():
        wanted = torch.from_numpy(targets[:, context:]).to(device)
        flat = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
        found = flat.view(wanted.shape).cpu().numpy()
    return [found[row, window.context - context : window.length - context] for row, window in enumerate(batch)]


def _logits(model: Any, inputs: "torch.Tensor", context: int) -> "torch.Tensor":
    """Logits [batch, width - context, vocabulary] of the positions from `context` on."""
    import inspect

    keep = inputs.shape[1] - context
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits: torch.Tensor = model(input_ids=inputs, use_cache=False, logits_to_keep=keep).logits
    else:
        logits = model(input_ids=inputs, use_cache=False).logits[:, -keep:]
    return logits
