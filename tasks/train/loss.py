"""The training loss: the negative log-likelihood of a batch's targets, in nats."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.formats.rows import IGNORED
from tasks.train.batches import Batch, count_items

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BESIDE = ("labels", "asked", "next_sentence_label", "lengths", "pairs", "reference")
"""Keys of a batch that the model does not take."""
MISMATCHED = "mismatched_"
"""Prefix of the keys of further rows, for KTO's estimate of the divergence; the model does not take them, either."""


def summed_loss(
    model: "PreTrainedModel", batch: Batch, smoothing: float = 0.0, noise: float | None = None
) -> "torch.Tensor":
    """The summed loss of a batch's items, a float32 scalar on the model's device; does not synchronize.

    With next-sentence prediction, its mean loss is added once per item, so both tasks have equal weight (Devlin et al.
    2018, appendix A.2: the training loss is the sum of both means).

    `noise`: the alpha of NEFTune, for batches with `lengths`.
    """
    import torch

    labels = batch["labels"].flatten()
    with _head_of(model, batch), _noise_on(model, batch, noise):
        outputs = model(**_taken(batch))
    logits = (outputs.logits if "logits" in outputs else outputs.prediction_logits).float().flatten(0, -2)
    if len(logits) != len(labels):
        labels = labels[batch["asked"]]
    total = torch.nn.functional.cross_entropy(
        logits, labels, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    if "next_sentence_label" in batch:
        follows = torch.nn.functional.cross_entropy(
            outputs.seq_relationship_logits.float(), batch["next_sentence_label"]
        )
        total = total + follows * count_items(batch)
    return total


def row_losses(model: "PreTrainedModel", batch: Batch) -> "torch.Tensor":
    """The summed loss of each row's items, float32 [rows]; does not synchronize."""
    import torch

    labels, asked = batch["labels"].flatten(), batch["asked"]
    with _head_of(model, batch):
        logits = model(**_taken(batch)).logits.float().flatten(0, -2)
    if len(logits) == len(labels):
        logits = logits[asked]
    losses = torch.nn.functional.cross_entropy(logits, labels[asked], reduction="none")
    return torch.zeros(len(labels), device=losses.device).index_put((asked,), losses).view(batch["labels"].shape).sum(1)


def _taken(batch: Batch) -> Batch:
    """What the model takes of a batch."""
    return {name: part for name, part in batch.items() if name not in BESIDE and not name.startswith(MISMATCHED)}


@contextmanager
def _head_of(model: "PreTrainedModel", batch: Batch) -> Iterator[None]:
    """While active, the model computes logits only for items [items, vocabulary], if these are few of its tokens.

    The head is as wide as the vocabulary; with a sixth of the tokens masked, or a short output after a long text, it
    would be most of the work. A head that is not called as a module computes all logits.
    """
    import torch

    head, shape = model.get_output_embeddings(), batch["labels"].shape
    if not isinstance(head, torch.nn.Linear) or len(shape) != 2 or 2 * len(batch["asked"]) > shape.numel():
        yield
        return
    hook = head.register_forward_pre_hook(
        lambda _, given: (given[0].flatten(0, -2)[batch["asked"]],) if given[0].shape[:-1] == shape else None
    )
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _noise_on(model: "PreTrainedModel", batch: Batch, alpha: float | None) -> Iterator[None]:
    """While active, the embeddings of a conversation of L tokens and d dimensions get uniform noise of at most
    alpha / sqrt(L d): NEFTune (Jain et al. 2023, https://arxiv.org/abs/2310.05914, algorithm 1).

    L counts the tokens of the conversation, not those of its row. The noise comes from torch's generator, whose state
    is in every checkpoint.
    """
    import torch

    if alpha is None:
        yield
        return

    def noisy(_: object, __: object, embedded: "torch.Tensor") -> "torch.Tensor":
        most = alpha / (batch["lengths"].clamp(min=1) * embedded.shape[-1]).sqrt()
        return embedded + torch.zeros_like(embedded).uniform_(-1, 1) * most[..., None]

    hook = model.get_input_embeddings().register_forward_hook(noisy)
    try:
        yield
    finally:
        hook.remove()
