"""Checkpoints to resume from: `data/<recipe>/checkpoints/<identity>/checkpoint-<step>/`.

model.safetensors  the trained weights
optimizer.pt       the optimizer's state; learning rates follow from the step
random.pt          the states of all random number generators
history.json       the history so far
whole.json         the size of each file; written last, atomically

A folder without `whole.json`, or with other file sizes, is incomplete and is removed.
"""

import json
import os
import random
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tasks.train.history import History

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

KEPT = 2
"""Number of checkpoints to keep."""
WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
RANDOM = "random.pt"
HISTORY = "history.json"
MARK = "whole.json"
BEST = "best.safetensors"
TIMING = "timing.json"
"""Timing and hardware facts; not an output of the stage."""


def last_whole(folder: Path) -> Path | None:
    """The last complete checkpoint; incomplete ones are removed."""
    found = None
    for path in _by_step(folder):
        if _is_whole(path):
            found = path
        else:
            shutil.rmtree(path)
    return found


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint; 0 for None."""
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def save(folder: Path, step: int, model: Any, optimizer: "Optimizer", device: "torch.device", history: History) -> None:
    """Write a checkpoint, and remove all but the last KEPT."""
    import torch

    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    save_weights(model, checkpoint / WEIGHTS)
    torch.save(optimizer.state_dict(), checkpoint / OPTIMIZER)
    torch.save(_random_state(device), checkpoint / RANDOM)
    write(checkpoint / HISTORY, asdict(history))
    write(checkpoint / MARK, {p.name: p.stat().st_size for p in sorted(checkpoint.iterdir())})
    for old in _by_step(folder)[:-KEPT]:
        shutil.rmtree(old)


def load(checkpoint: Path, model: Any, optimizer: "Optimizer", device: "torch.device") -> History:
    """Restore model, optimizer and random number generators from a checkpoint, and return its history."""
    import torch

    load_weights(model, checkpoint / WEIGHTS)
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True))
    _set_random_state(torch.load(checkpoint / RANDOM, weights_only=True), device)
    history = History.from_json(json.loads((checkpoint / HISTORY).read_text(encoding="utf-8")))
    history.resumed_at = step_of(checkpoint)
    return history


def clear(folder: Path) -> None:
    """Remove the checkpoints and best weights of a finished run; timing.json stays."""
    for path in _by_step(folder):
        shutil.rmtree(path)
    (folder / BEST).unlink(missing_ok=True)


def save_weights(model: Any, path: Path) -> None:
    """Save all weights, or only the trained ones if some are frozen."""
    from safetensors.torch import save_file
    from safetensors.torch import save_model as save_all

    partial = path.with_name(f"{path.name}.partial")
    if trained := _trained(model):
        save_file({name: parameter.detach().contiguous() for name, parameter in trained.items()}, os.fspath(partial))
    else:
        save_all(model, os.fspath(partial))
    partial.replace(path)


def load_weights(model: Any, path: Path) -> None:
    """Load the output of `save_weights` into the model."""
    from safetensors.torch import load_file
    from safetensors.torch import load_model as load_all

    if _trained(model):
        model.load_state_dict(load_file(path), strict=False)  # without the frozen weights
    else:
        load_all(model, path, strict=True)


def _trained(model: Any) -> dict[str, Any]:
    """The trained parameters if others are frozen; empty if none are."""
    named = dict(model.named_parameters())
    trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    return trained if len(trained) < len(named) else {}


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


def _by_step(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=step_of)


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((path / name).is_file() and (path / name).stat().st_size == size for name, size in sizes.items())


def write(path: Path, value: object) -> None:
    """Write JSON, atomically."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
