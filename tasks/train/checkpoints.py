"""Checkpoints to resume from: `data/<recipe>/checkpoints/<identity>/checkpoint-<step>/`.

model.safetensors  the trained weights
optimizer.pt       the optimizer's state; learning rates follow from the step
random.pt          the states of all random number generators
history.json       the history so far
best.safetensors   the best weights so far, with `keep: best`
whole.json         the step and the SHA-256 of each file; written last, once the others are on the disk

A checkpoint that does not match its `whole.json` is incomplete or damaged; it is removed, and the one before is used.
"""

import json
import os
import random
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tasks.stage.errors import TransientError
from tasks.stage.identity import hash_file
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
MARK_BYTES = 1 << 16
"""Maximum size of a mark that we write."""
BEST = "best.safetensors"
REFERENCE = "reference.npz"
"""The base's log-probabilities, for preference losses: see `tasks.train.reference`."""
TIMING = "timing.json"
"""Timing and hardware facts; not an output of the stage."""


def last_whole(folder: Path) -> Path | None:
    """The last whole checkpoint; incomplete and damaged ones after it are removed."""
    for path in reversed(_by_step(folder)):
        if _is_whole(path):
            return path
        _say(f"{path}: incomplete or damaged; removed")
        _remove(path)
    return None


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint; 0 for None."""
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def save(folder: Path, step: int, model: Any, optimizer: "Optimizer", device: "torch.device", history: History) -> None:
    """Write a checkpoint, and remove all but the last KEPT."""
    import torch

    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    save_weights(model, checkpoint / WEIGHTS)
    for name, state in {OPTIMIZER: optimizer.state_dict(), RANDOM: _random_state(device)}.items():
        with (checkpoint / name).open("wb") as file:  # an open file: torch alone hides why a disk refuses
            torch.save(state, file)
    write(checkpoint / HISTORY, asdict(history))
    if history.best_sha256 is not None:
        _link(folder / BEST, checkpoint / BEST)
    for path in checkpoint.iterdir():
        sync(path)
    write(checkpoint / MARK, _mark(checkpoint))
    for path in (checkpoint / MARK, checkpoint, folder):
        sync(path)
    for old in _by_step(folder)[:-KEPT]:
        _discard(old)


def load(checkpoint: Path, model: Any, optimizer: "Optimizer", device: "torch.device") -> History:
    """Restore model, optimizer and random number generators from a checkpoint, and return its history."""
    import torch

    load_weights(model, checkpoint / WEIGHTS)
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True))
    _set_random_state(torch.load(checkpoint / RANDOM, weights_only=True), device)
    history = History.from_json(json.loads((checkpoint / HISTORY).read_text(encoding="utf-8")))
    history.resumed_at = step_of(checkpoint)
    if history.best_sha256 is not None:
        _link(checkpoint / BEST, checkpoint.parent / BEST)
    return history


def save_best(folder: Path, model: Any) -> str:
    """Write the best weights so far; returns their SHA-256."""
    save_weights(model, folder / BEST)
    return hash_file(folder / BEST)


def load_best(folder: Path, model: Any, history: History) -> None:
    """Load the best weights into the model. Raises TransientError if they are not the ones that were written."""
    path = folder / BEST
    if not path.is_file() or hash_file(path) != history.best_sha256:
        raise TransientError(f"{path}: damaged since it was written; run again: training resumes before the damage")
    load_weights(model, path)


def clear(folder: Path) -> None:
    """Remove the checkpoints, best weights and reference of a finished run; timing.json stays."""
    for path in _of(folder):
        _discard(path)


def clear_others(folder: Path, keep: int) -> None:
    """Clear the checkpoints of earlier versions of the recipe, all but the `keep` newest, and say so.

    A link to a folder is somebody's own, and stays.
    """
    folders = [other for other in folder.parent.iterdir() if other != folder and other.is_dir()]
    others = [other for other in folders if not other.is_symlink() and _may_read(other) and _of(other)]
    for other in sorted(others, key=lambda path: path.stat().st_mtime)[: len(others) - keep]:
        clear(other)
        if not _of(other):
            _say(f"{other}: removed the checkpoints of an earlier version of the recipe or of the code")


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


def _may_read(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _of(folder: Path) -> list[Path]:
    """All that a training leaves to resume from."""
    return [*_by_step(folder), *folder.glob(f"{BEST}*"), *folder.glob(f"{REFERENCE}*")]


def _by_step(folder: Path) -> list[Path]:
    """The checkpoints by step; other names are not ours."""
    return sorted((path for path in folder.iterdir() if re.fullmatch(r"checkpoint-[0-9]+", path.name)), key=step_of)


def _is_whole(path: Path) -> bool:
    mark = path / MARK
    try:
        if not mark.is_file() or mark.stat().st_size > MARK_BYTES:
            return False
        return bool(json.loads(mark.read_text(encoding="utf-8")) == _mark(path))
    except (OSError, ValueError, RecursionError):
        return False


def _mark(checkpoint: Path) -> dict[str, Any]:
    """The content of `whole.json`. Raises OSError if a file is missing or cannot be read."""
    names = (WEIGHTS, OPTIMIZER, RANDOM, HISTORY, *((BEST,) if (checkpoint / BEST).exists() else ()))
    if odd := [name for name in names if not (checkpoint / name).is_file()]:  # a pipe would never end
        raise FileNotFoundError(f"{checkpoint / odd[0]} is no file")
    hashes = {name: hash_file(checkpoint / name) for name in names}
    return {"step": step_of(checkpoint), "sha256": hashes}


def _link(path: Path, place: Path) -> None:
    """The same file at `place`; a copy where the file system has no links."""
    partial = place.with_name(f"{place.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        partial.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, partial)
    partial.replace(place)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a power cut leaves no mark without its files."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _discard(path: Path) -> None:
    """Remove what is not needed any more; what cannot be removed is said, and training goes on."""
    try:
        _remove(path)
    except OSError as error:
        _say(f"{path}: cannot be removed: {error.strerror}; remove it yourself")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(f"train: {text}", file=sys.stderr, flush=True)


def write(path: Path, value: object) -> None:
    """Write JSON, atomically."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
