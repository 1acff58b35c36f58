"""What every kind of batches has in common, and the kinds by task.

A batch is a mapping of tensors for the model's `forward`, and beside them:

labels  int64, what each position of the logits has to be, IGNORED where nothing is asked
asked   int64 [items], the positions in the flattened labels where something is; `loader` adds it

Batch `position` is a pure function of the seed and the position, so that a resume is one integer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.formats.rows import IGNORED

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]


class Batches(ABC):
    """Batches by position: of a training without end, of a validation as many as `count` says."""

    count: int
    """Batches in one pass."""
    width: int
    """Most tokens of a row that the model sees at once."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """The batch at a position."""

    def loader(self, positions: range, device: "torch.device") -> Iterator[Batch]:
        """The batches at `positions`, one after another, on a device.

        The call itself draws one number from torch's generator, as every pass over a DataLoader does.
        """
        from torch.utils.data import DataLoader

        pinned = device.type == "cuda"  # a GPU copies from pinned memory while the processor goes on
        batches: Iterable[Batch] = DataLoader(
            positions,  # type: ignore[arg-type]
            batch_size=None,
            collate_fn=lambda position: find_asked(self.batch(position)),  # type: ignore[arg-type]
            pin_memory=pinned,
        )
        return map(lambda batch: {name: part.to(device, non_blocking=pinned) for name, part in batch.items()}, batches)


@dataclass(frozen=True)
class Data:
    """The batches of a training and of its validation."""

    training: Batches
    validation: Batches
    facts: dict[str, Any] = field(default_factory=dict)
    """For the report: how much is padding, what was cut or left out."""


def find_asked(batch: Batch) -> Batch:
    """The batch with `asked`. On a GPU, to look for it would wait for all work so far."""
    return batch | {"asked": (batch["labels"].flatten() != IGNORED).nonzero().flatten()}


def count_items(batch: Batch) -> int:
    """Tokens, or documents that are classified, of which a batch asks something."""
    return len(batch["asked"])
