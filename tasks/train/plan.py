"""The plan of a training run: settings, machine, batches and checkpoint folder."""

import math
from dataclasses import dataclass
from pathlib import Path

from tasks.formats.tokens import Index
from tasks.train.batches import Data
from tasks.train.history import History
from tasks.train.precision import Machine
from tasks.train.settings import BucketTraining, ChatTraining, TrainSettings


@dataclass(frozen=True)
class Plan:
    """Everything that a training run depends on."""

    where: str
    """The recipe's file, for messages."""
    settings: TrainSettings
    machine: Machine
    data: Data
    folder: Path
    """Checkpoint folder."""
    text: Index | None
    """Tokens and bytes of the validation split, if the loss is per token of text and converts to bits per byte."""

    @property
    def steps(self) -> int:
        """Optimizer steps: the recipe's `steps`, or enough for its `epochs`."""
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
        """Label smoothing."""
        return self.settings.label_smoothing if isinstance(self.settings, BucketTraining) else 0.0

    @property
    def noise(self) -> float | None:
        """The alpha of NEFTune."""
        return self.settings.neftune_alpha if isinstance(self.settings, ChatTraining) else None
