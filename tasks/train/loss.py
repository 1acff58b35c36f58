"""What a training minimises: the negative log-likelihood of what a batch asks for, in nats."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.formats.rows import IGNORED
from tasks.train.batches import Batch

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BESIDE = ("labels", "next_sentence_label")
"""What a batch holds that is not for the model."""


def summed_loss(model: "PreTrainedModel", batch: Batch, smoothing: float = 0.0) -> "tuple[torch.Tensor, int]":
    """The sum of the losses of a batch, and of how many items: tokens, or documents that are classified.

    Where sentences are to be told to follow one another, their mean loss counts as that of one more token for each,
    so that both tasks weigh the same (Devlin et al. 2018, appendix A.2: the training loss is the sum of both means).
    """
    import torch

    labels = batch["labels"]
    asked = labels != IGNORED
    with _head_of(model, asked):
        outputs = model(**{name: value for name, value in batch.items() if name not in BESIDE})
    logits = outputs.logits if "logits" in outputs else outputs.prediction_logits
    if logits.shape[:-1] != labels.shape:
        labels = labels[asked]
    total = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, -2),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    items = count_items(batch)
    if "next_sentence_label" in batch:
        follows = torch.nn.functional.cross_entropy(
            outputs.seq_relationship_logits.float(), batch["next_sentence_label"]
        )
        total = total + follows * items
    return total, items


@contextmanager
def _head_of(model: "PreTrainedModel", asked: "torch.Tensor") -> Iterator[None]:
    """Within it, the model puts out logits [asked tokens, vocabulary] where little of `asked` [rows, tokens] is true.

    The head is as wide as the vocabulary: for a sixth of the tokens of a masked model, or the short output behind a
    long text, it would be the larger half of the work. A head that is not called as a module goes on as it is.
    """
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or asked.ndim != 2 or 2 * int(asked.sum()) > asked.numel():
        yield
        return
    hook = head.register_forward_pre_hook(
        lambda _, given: (given[0][asked],) if given[0].shape[:-1] == asked.shape else None
    )
    try:
        yield
    finally:
        hook.remove()


def count_items(batch: Batch) -> int:
    """Of how many a batch asks something."""
    return int((batch["labels"] != IGNORED).sum())
