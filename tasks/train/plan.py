"""The plan of a training run: settings, machine, batches and checkpoint folder."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.tokens import Index
from tasks.train.average import averaged_from
from tasks.train.batches import Batch, Data
from tasks.train.distributed import World
from tasks.train.history import History
from tasks.train.identity import Identity
from tasks.train.loss import summed_loss
from tasks.train.precision import Machine
from tasks.train.preference_loss import MEASURES, measured, preference_losses, read_answers
from tasks.train.schedule import stable_steps
from tasks.train.settings import BucketTraining, ChatTraining, PreferenceTraining, TrainSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


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
    world: World = field(default_factory=World)
    """The processes that train together."""
    identity: Identity = field(default_factory=Identity)
    """What the checkpoints belong to."""
    shared: Path | None = None
    """A checkpoint of a training of another length to start from: see `tasks.train.earlier`."""

    @property
    def steps(self) -> int:
        """Optimizer steps: the recipe's `steps`, or enough for its `epochs`."""
        if self.settings.steps is not None:
            return self.settings.steps
        assert self.settings.epochs is not None
        return max(math.ceil(self.data.training.count * self.settings.epochs / self.settings.accumulation), 1)

    @property
    def sharded(self) -> bool:
        """Whether weights are dealt over ranks."""
        return self.settings.shard == "full" and self.world.size > 1

    @property
    def shared_steps(self) -> int:
        """Steps that are the same in a longer training: before the decay, and before averaging begins; 0 if none."""
        average = self.settings.average
        begun = self.steps if average is None or average.ema is not None else averaged_from(average, self.steps) - 1
        return min(stable_steps(self.steps, self.settings.schedule), begun)

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

    def loss(self, model: "PreTrainedModel", batch: Batch) -> "torch.Tensor":
        """The training loss of a batch, summed over its items."""
        if isinstance(self.settings, PreferenceTraining):
            total = preference_losses(read_answers(model, batch), self.settings.loss).sum()
        else:
            total = summed_loss(model, batch, self.smoothing, self.noise)
        return total * 0 if "idle" in batch else total

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what a validation measures beside the loss."""
        return MEASURES if isinstance(self.settings, PreferenceTraining) else ()

    def measure(self, model: "PreTrainedModel", batch: Batch) -> "list[torch.Tensor]":
        """Sums over the items of a validation batch: the loss, then `measures`."""
        if isinstance(self.settings, PreferenceTraining):
            return measured(model, batch, self.settings.loss)
        return [summed_loss(model, batch)]
