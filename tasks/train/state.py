"""The state of a training: what a checkpoint keeps, and what going on from one restores."""

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from tasks.train.average import Average
from tasks.train.history import History
from tasks.train.weights import Tensors, set_weights, trained_weights

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Snapshot:
    """A copy of a state in the memory of the CPU, which a thread can write while the training goes on."""

    weights: Tensors | None
    """None if each rank writes its part of them and of the optimizer."""
    optimizer: dict[str, Any] | None
    """The optimizer's state; learning rates follow from the step."""
    random: dict[str, Any]
    """The states of all random number generators."""
    history: dict[str, Any]
    average: Tensors | None = None
    """The mean of the weights, once `train.average` has begun."""


@dataclass
class State:
    """The objects of a training that change from step to step."""

    model: Any
    optimizer: "Optimizer"
    device: "torch.device"
    history: History
    average: Average | None = None
    in_parts: bool = False
    """Whether each rank writes its part of weights and optimizer."""

    def copy(self) -> Snapshot:
        """A copy of everything, on the CPU; waits for the device."""
        average = None if self.average is None or not self.average.begun else self.average.weights
        return Snapshot(
            None if self.in_parts else _copied(trained_weights(self.model)),
            None if self.in_parts else _copied(self.optimizer.state_dict()),
            _random_state(self.device),
            asdict(self.history),
            _copied(average),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Everything as it was in a snapshot."""
        self.history = History.from_json(snapshot.history)
        if snapshot.weights is not None and snapshot.optimizer is not None:
            set_weights(self.model, snapshot.weights)
            self.optimizer.load_state_dict(snapshot.optimizer)
        _set_random_state(snapshot.random, self.device)
        if self.average is not None and snapshot.average is not None:
            self.average.restore(snapshot.average)


def _copied(value: Any) -> Any:
    """The same with copies of all tensors, on the CPU."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(each) for each in value)
    return value


def _random_state(device: "torch.device") -> dict[str, Any]:
    import numpy as np
    import torch

    kind, keys, *rest = cast("tuple[Any, ...]", np.random.get_state())
    state = {"python": random.getstate(), "numpy": (kind, keys.tolist(), *rest), "torch": torch.get_rng_state()}
    own = {} if device.type == "cpu" else {"device": torch.get_device_module(device).get_rng_state()}
    return state | own


def _set_random_state(state: dict[str, Any], device: "torch.device") -> None:
    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    own = {} if device.type == "cpu" else {"device": torch.get_device_module(device).set_rng_state}
    for name, restore in ({"torch": torch.set_rng_state} | own).items():
        restore(state[name])
