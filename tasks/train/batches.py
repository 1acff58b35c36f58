"""The interface of all batches.

A batch holds the tensors for the model's `forward`, plus

labels  int64, the target of each position of the logits, IGNORED where there is no loss
asked   int64 [items], positions in the flattened labels that have a target; `loader` adds it

Each batch is a pure function of seed and position, so resuming needs one integer.
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
    """Batches by position: unlimited for training, `count` for validation."""

    count: int
    """Batches in one pass."""
    width: int
    """Maximum sequence length in tokens."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """The batch at a position."""

    def size(self, position: int) -> int:
        """Tokens of the batch at a position, padding not counted."""
        return int(self.batch(position)["input_ids"].numel())

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """Mixtures: how often the first `positions` batches went through each source; empty for one source."""
        return {}

    def loader(self, positions: range, device: "torch.device") -> Iterator[Batch]:
        """Yield the batches at `positions`, on a device.

        The call draws one number from torch's generator, as every pass over a DataLoader does.
        """
        from torch.utils.data import DataLoader

        pinned = device.type == "cuda"  # copies from pinned memory are asynchronous
        batches: Iterable[Batch] = DataLoader(
            positions,  # type: ignore[arg-type]
            batch_size=None,
            collate_fn=lambda position: find_asked(self.batch(position)),  # type: ignore[arg-type]
            pin_memory=pinned,
        )
        return map(lambda batch: {name: part.to(device, non_blocking=pinned) for name, part in batch.items()}, batches)


@dataclass(frozen=True)
class Data:
    """Training and validation batches."""

    training: Batches
    validation: Batches
    facts: dict[str, Any] = field(default_factory=dict)
    """For the report: share of padding, counts of truncated and dropped documents."""


def find_asked(batch: Batch) -> Batch:
    """Add `asked` to a batch. Done on the CPU, because `nonzero` on a GPU waits for all queued work."""
    return batch | {"asked": (batch["labels"].flatten() != IGNORED).nonzero().flatten()}


def count_items(batch: Batch) -> int:
    """The number of items in a batch: tokens, documents for classification, pairs for preferences."""
    return len(batch["pairs" if "pairs" in batch else "asked"])
