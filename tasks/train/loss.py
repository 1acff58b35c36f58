"""The training loss: the negative log-likelihood of a batch's targets, in nats."""

from typing import TYPE_CHECKING, Any

from tasks.formats.rows import IGNORED
from tasks.train import compilable
from tasks.train.batches import Batch, count_items
from tasks.train.head import Head, bare, head_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BESIDE = (
    "labels", "asked", "next_sentence_label", "lengths", "pairs", "reference", "share", "next_sentence_items", "idle",
)  # fmt: skip
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

    outputs, rows, labels = _run(model, batch, noise)
    if isinstance(rows, Head):
        total = rows.losses(labels, smoothing)
    else:
        total = _summed(rows, labels, smoothing)
    if "next_sentence_label" in batch:
        follows = torch.nn.functional.cross_entropy(
            outputs.seq_relationship_logits.float(), batch["next_sentence_label"]
        )
        total = total + follows * batch.get("next_sentence_items", count_items(batch))
    return total


def _summed(rows: "torch.Tensor", labels: "torch.Tensor", smoothing: float) -> "torch.Tensor":
    import torch

    if torch.compiler.is_compiling() and rows.device.type == "cpu":
        return compilable.cross_entropy(rows, labels, smoothing)
    return torch.nn.functional.cross_entropy(
        rows, labels, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )


def row_losses(model: "PreTrainedModel", batch: Batch) -> "torch.Tensor":
    """The summed loss of each row's items, float32 [rows]; does not synchronize."""
    import torch

    asked, shape = batch["asked"], batch["labels"].shape
    _, rows, labels = _run(model, batch, of_items=True)
    if isinstance(rows, Head):
        losses = rows.losses(labels, by_row=True)
    else:
        if len(labels) != len(asked):
            rows, labels = rows[asked], labels[asked]
        losses = torch.nn.functional.cross_entropy(rows, labels, reduction="none")
    return torch.zeros(shape.numel(), device=losses.device).index_put((asked,), losses).view(shape).sum(1)


def _run(
    model: "PreTrainedModel", batch: Batch, noise: float | None = None, of_items: bool = False
) -> "tuple[Any, torch.Tensor | Head, torch.Tensor]":
    """The model's outputs; rows of its logits [rows, vocabulary], or the head that has them in chunks; their labels.

    The head is as wide as the vocabulary. With a sixth of the tokens masked, or a short output after a long text, it
    would be most of the work: if the items are few of the tokens, the rows are of items only, as always with `of_items`
    where the logits are large. A head that is not called as a module computes all logits.
    """
    labels, asked = batch["labels"], batch["asked"]
    shape, flat = labels.shape, labels.flatten()
    head = head_of(model) if len(shape) == 2 else None
    if head is not None:
        few = 2 * len(asked) <= shape.numel()
        head.catching = head.large(len(asked) if few or of_items else shape.numel())
        if few or head.catching:
            head.shape, head.asked = shape, asked if few or of_items else None
    noisy = None if noise is None else noise_of(model)
    if noise is not None and noisy is not None:
        noisy.alpha, noisy.lengths = noise, batch["lengths"]
    of_some = head is not None and head.asked is not None
    try:
        outputs = model(**_taken(batch))
    finally:
        if noisy is not None:
            noisy.lengths = None
        if head is not None:
            head.shape = head.asked = None
    if head is not None and head.hidden is not None:
        return outputs, head, flat[asked] if of_some else flat
    logits = (outputs.logits if "logits" in outputs else outputs.prediction_logits).float().flatten(0, -2)
    return outputs, logits, flat if len(logits) == len(flat) else flat[asked]


def _taken(batch: Batch) -> Batch:
    """What the model takes of a batch."""
    return {name: part for name, part in batch.items() if name not in BESIDE and not name.startswith(MISMATCHED)}


class Noise:
    """A hook on the embeddings: while `lengths` is set, those of a conversation of L tokens and d dimensions get
    uniform noise of at most alpha / sqrt(L d): NEFTune (Jain et al. 2023, https://arxiv.org/abs/2310.05914,
    algorithm 1).

    L counts the tokens of the conversation, not those of its row. The noise comes from torch's generator, whose state
    is in every checkpoint.
    """

    alpha: float = 0.0
    lengths: "torch.Tensor | None" = None
    """[rows, length], of the conversation of each token."""

    def __call__(self, _: object, __: object, embedded: "torch.Tensor") -> "torch.Tensor | None":
        """The embeddings [rows, length, d] with noise, or None: as they are."""
        import torch

        if self.lengths is None:
            return None
        most = self.alpha / (self.lengths.clamp(min=1) * embedded.shape[-1]).sqrt()
        return embedded + torch.zeros_like(embedded).uniform_(-1, 1) * most[..., None]


def noise_of(model: "PreTrainedModel") -> Noise:
    """The hook on a model's embeddings, which stays there."""
    module = bare(model).get_input_embeddings()
    found: Noise | None = module.__dict__.get("noise")
    if found is None:
        found = module.__dict__["noise"] = Noise()
        module.register_forward_hook(found)
    return found
