"""The plan of a training: the recipe's settings beside the machine, the batches and the folder of checkpoints."""

import math
from dataclasses import dataclass
from pathlib import Path

from tasks.formats.tokens import Index
from tasks.train.batches import Data
from tasks.train.history import History
from tasks.train.precision import Machine
from tasks.train.settings import BucketTraining, TrainSettings


@dataclass(frozen=True)
class Plan:
    """Everything that one training depends on."""

    where: str
    """The recipe's file, for messages."""
    settings: TrainSettings
    machine: Machine
    data: Data
    folder: Path
    """Of its checkpoints."""
    text: Index | None
    """Of the validation split, where its loss is one per token of text and so can be counted per byte."""

    @property
    def steps(self) -> int:
        """Updates: as many as the recipe says, or enough for its passes over the training split."""
        if self.settings.steps is not None:
            return self.settings.steps
        assert self.settings.epochs is not None
        return max(math.ceil(self.data.training.count * self.settings.epochs / self.settings.accumulation), 1)

    def exhausted(self, history: History) -> bool:
        """Whether early stopping has run out of patience."""
        patience = self.settings.patience
        return patience is not None and history.evaluations_since_best() >= patience

    @property
    def smoothing(self) -> float:
        """Of the labels."""
        return self.settings.label_smoothing if isinstance(self.settings, BucketTraining) else 0.0
