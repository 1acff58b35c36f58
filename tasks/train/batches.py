"""What every kind of batches has in common, and the kinds by task.

A batch is a mapping of tensors for the model's `forward`, and `labels` beside them: int64, what each position of the
logits has to be, IGNORED where nothing is asked. Batch `position` is a pure function of the seed and the position, so
that a resume is one integer.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Data:
    """The batches of a training and of its validation."""

    training: Batches
    validation: Batches
    facts: dict[str, Any] = field(default_factory=dict)
    """For the report: how much is padding, what was cut or left out."""


class Positions:
    """Batches as Trainer's loader wants them: a data set, an item of which is a whole batch."""

    def __init__(self, batches: Batches, length: int) -> None:
        self.batches, self.length = batches, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> Batch:
        return self.batches.batch(position)


def only(items: list[Batch]) -> Batch:
    """The collator of a loader whose items are batches already."""
    (item,) = items
    return item
