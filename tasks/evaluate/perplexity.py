"""Token losses of a causal language model on documents, and the signature of the score.

Method. As in training, a document t_1 … t_n follows an end-of-text token, which is context and not scored. The
end-of-text token after the document is not scored either, so exactly the tokens of the text are, each once, and their
sum relates to the bytes of the text. The first window scores `window` tokens from the document's start; each later one
scores the next `stride` tokens (the last: the rest), preceded by context up to `window`, so each token is conditioned
on at least `window - stride + 1` tokens (Baevski & Auli, arXiv 1809.10853, section 4.5; rolling windows as in
lm-evaluation-harness, but with a stride). Context never crosses the start of a document.

A base whose tokenizer begins each text with tokens (`<s>` of Llama 2, `<bos>` of Gemma) gets these in place of the
end-of-text token, at the start of each window: such a model may not work without them. In later windows they take the
place of the first context tokens, as in llama.cpp's perplexity.

    perplexity    = exp(sum of losses / tokens)
    bits_per_byte = sum of losses / ln 2 / UTF-8 bytes of the text     (arXiv 2101.00027, section 3.1)

Results are bit-identical for any number of workers: see `tasks.evaluate.batches`.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import LOGITS, inference, map_batches, on_device
from tasks.evaluate.settings import CausalEvaluateSettings
from tasks.evaluate.signatures import write_signature

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Increment when the same model and text would get a different score."""


def signature(
    settings: CausalEvaluateSettings, tokenizer: str, text: str, unknown: int, opening: Sequence[int] = ()
) -> str:
    """The signature; bits_per_byte stays comparable if only `tok` differs.

    `tokenizer` and `text` are SHA-256 hex digests, of which 12 digits are kept. `unknown`: number of unknown tokens;
    their text counts in the bytes, but not in the losses. `opening`: the ids that begin a text.
    """
    context = "bos-of-each-window" if opening else "eos"
    return write_signature({
        "task": "causal-lm", "window": settings.window, "stride": settings.stride, "context": context, "scored": "text",
        "norm": "utf8-bytes", "precision": settings.precision, "tok": tokenizer[:12], "data": text[:12],
        "version": f"gristmill-{VERSION}", **({"unknown": unknown} if unknown else {}),
    })  # fmt: skip


@dataclass(frozen=True, order=True)
class Window:
    """One model input: positions start … stop - 1 of an end-of-text token (or opening) plus the document.

    Position i predicts the document's token i; positions from `first` on are scored.
    """

    length: int
    context: int
    document: int
    start: int

    @property
    def first(self) -> int:
        """The first scored position."""
        return self.start + self.context

    @property
    def stop(self) -> int:
        """One past the last position."""
        return self.start + self.length


def windows_of(document: int, tokens: int, window: int, stride: int) -> Iterator[Window]:
    """Windows that score each of a document's `tokens` once; `stride` is at most `window`."""
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
    settings: CausalEvaluateSettings,
    workers: int = 1,
    scored: Callable[[int], object] = lambda tokens: None,
    opening: Sequence[int] = (),
) -> list[NDArray[np.float64]]:
    """-ln p of each token in nats: one array [tokens] per document.

    `model` is a causal `transformers` model in eval mode, on its device; `documents` are ids without end-of-text
    tokens. `scored` is called with the number of tokens of each finished batch. `settings.window` must not exceed the
    model's positions. `opening`: the ids that begin each text, in place of `eos_token_id`.
    """
    window = settings.window - len(opening[1:])
    stride = min(settings.stride, window)
    sequences = [np.concatenate([[eos_token_id], document]) for document in documents]
    losses = [np.empty(len(document), np.float64) for document in documents]
    windows = sorted(
        part for number, document in enumerate(documents) for part in windows_of(number, len(document), window, stride)
    )
    size = max(1, min(settings.batch_size, LOGITS // (settings.window * model.config.get_text_config().vocab_size)))
    batches = [windows[at : at + size] for at in range(0, len(windows), size)]
    for batch, values in map_batches(
        lambda batch: _batch_losses(model, sequences, batch, settings.precision, opening), batches, model, workers
    ):
        for part, row in zip(batch, values, strict=True):
            losses[part.document][part.first : part.stop] = row
        scored(sum(len(row) for row in values))
    return losses


def _batch_losses(
    model: Any, sequences: Sequence[NDArray[np.int64]], batch: Sequence[Window], precision: str, opening: Sequence[int]
) -> list[NDArray[np.float32]]:
    import torch

    lead = len(opening[1:])
    width, context = (lead + one for one in (max(part.length for part in batch), min(part.context for part in batch)))
    # Attention is causal and padding is on the right, so no token sees padding and no mask is needed.
    inputs = np.zeros((len(batch), width), np.int64)
    targets = np.zeros((len(batch), width), np.int64)
    for row, part in enumerate(batch):
        place = slice(lead, lead + part.length)
        inputs[row, place] = sequences[part.document][part.start : part.stop]
        targets[row, place] = sequences[part.document][part.start + 1 : part.stop + 1]
    inputs[:, : len(opening)] = opening
    with inference(model, precision) as device:
        ids, wanted = on_device((inputs, targets[:, context:]), device)
        logits = _logits(model, ids, width - context)
        flat = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
        found = flat.view(wanted.shape).cpu().numpy()
    return [found[row, lead + part.context - context : lead + part.length - context] for row, part in enumerate(batch)]


def _logits(model: Any, inputs: "torch.Tensor", keep: int) -> "torch.Tensor":
    """Logits [batch, keep, vocabulary] for the last `keep` positions."""
    known = "logits_to_keep" in inspect.signature(model.forward).parameters
    logits: torch.Tensor = model(
        input_ids=inputs, use_cache=False, **({"logits_to_keep": keep} if known else {})
    ).logits[:, -keep:]
    return logits
