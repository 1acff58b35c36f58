"""What a killed training goes on from: `data/<recipe>/checkpoints/<identity>/checkpoint-<step>/`.

Trainer writes a checkpoint file by file. Only when all are there comes `whole.json`, renamed into place, with the size
of each; a folder without it, or with another size, is what a kill left behind and is removed.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tasks.stage.run import checkpoints_of
from tasks.train.history import History

MARK = "whole.json"
HISTORY = "history.json"
WEIGHTS = "model.safetensors"
BEST = "best.safetensors"
TIMING = "timing.json"


def folder_of(recipe: str, identity: str) -> Path:
    """The place of a training's checkpoints, made if need be."""
    folder = checkpoints_of(recipe, identity)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def finish(checkpoint: Path, history: History) -> None:
    """Declare a checkpoint whole, with the history up to it."""
    _write(checkpoint / HISTORY, history.to_json())
    _write(checkpoint / MARK, {p.name: p.stat().st_size for p in sorted(checkpoint.iterdir()) if p.name != MARK})


def last_whole(folder: Path) -> Path | None:
    """The last whole checkpoint; broken ones are removed."""
    found = None
    for path in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2])):
        if _is_whole(path):
            found = path
        else:
            shutil.rmtree(path)
    return found


def read_history(checkpoint: Path) -> History:
    """The history up to a whole checkpoint."""
    return History.from_json(json.loads((checkpoint / HISTORY).read_text(encoding="utf-8")))


def clear(folder: Path) -> None:
    """Take away the checkpoints and the best weights of a finished training; what is known of its time stays."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
    (folder / BEST).unlink(missing_ok=True)


def save_weights(model: Any, path: Path) -> None:
    """All weights, or, where some are frozen, those that are trained."""
    from safetensors.torch import save_file
    from safetensors.torch import save_model as save_all

    partial = path.with_name(f"{path.name}.partial")
    if trained := _trained(model):
        save_file({name: parameter.detach().contiguous() for name, parameter in trained.items()}, os.fspath(partial))
    else:
        save_all(model, os.fspath(partial))
    partial.replace(path)


def load_weights(model: Any, path: Path) -> None:
    """What `save_weights` wrote, into the model."""
    import torch
    from safetensors.torch import load_file
    from safetensors.torch import load_model as load_all

    if trained := _trained(model):
        read = load_file(path)
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(read[name])
    else:
        load_all(model, path, strict=True)


def _trained(model: Any) -> dict[str, Any]:
    """The parameters that are trained, where others are frozen; nothing where all are."""
    named = dict(model.named_parameters())
    trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    return trained if len(trained) < len(named) else {}


def write_timing(folder: Path, timing: dict[str, object]) -> None:
    """Facts of clock and machine, outside of all outputs."""
    _write(folder / TIMING, timing)


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((path / name).is_file() and (path / name).stat().st_size == size for name, size in sizes.items())


def _write(path: Path, value: object) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
