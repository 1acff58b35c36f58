"""The mean of the weights over the last steps, or their exponential moving average.

Izmailov et al. 2018 (https://arxiv.org/abs/1803.05407) average over the end of a training, Hägele et al. 2024
(https://arxiv.org/abs/2405.18392, section 5) over a constant learning rate. The formulas are torch's
(`torch.optim.swa_utils`); its `AveragedModel` would copy the frozen weights of a model with adapters, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.train.settings import AverageSettings
from tasks.train.weights import Tensors, trained_weights


def averaged_from(settings: AverageSettings | None, steps: int) -> int:
    """The first step whose weights count, of `steps`, counted from 1; `steps` + 1 without averaging."""
    if settings is None:
        return steps + 1
    return 1 if settings.last is None else steps - max(int(steps * settings.last), 1) + 1


class Average:
    """The mean of the trained weights of a model, in float32, on the model's device.

    How many weights it is the mean of follows from the step, so that a checkpoint holds the mean alone. Buffers are
    not averaged.
    """

    def __init__(self, model: Any, settings: AverageSettings, steps: int) -> None:
        self.model, self.settings, self.steps = model, settings, steps
        self.weights: Tensors = {}

    @property
    def begun(self) -> bool:
        """Whether some weights count already."""
        return bool(self.weights)

    def update(self, step: int) -> None:
        """Count the weights after this step, from 1, if it is one of those that count."""
        from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

        first = averaged_from(self.settings, self.steps)
        if step < first or (self.steps - step) % self.settings.every != 0:
            return
        now = _parameters(self.model)
        if not self.begun:
            self.weights = {name: weight.clone() for name, weight in now.items()}
            return
        before = (self.steps - first) // self.settings.every - (self.steps - step) // self.settings.every
        ema = self.settings.ema
        average = get_swa_multi_avg_fn() if ema is None else get_ema_multi_avg_fn(ema)
        average([*self.weights.values()], [*now.values()], before)

    def restore(self, weights: Tensors) -> None:
        """Go on from a checkpoint."""
        now = _parameters(self.model)
        self.weights = {name: weights[name].to(weight.device, copy=True) for name, weight in now.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the averaged weights, once some count."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the weights of the model and the average, in their memory: compiled code holds its addresses."""
        now = _parameters(self.model)
        for name, average in self.weights.items():
            kept = now[name].clone()
            now[name].copy_(average)
            average.copy_(kept)


def _parameters(model: Any) -> Tensors:
    """The trained parameters, without buffers."""
    named = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: weight for name, weight in trained_weights(model).items() if name in named}
