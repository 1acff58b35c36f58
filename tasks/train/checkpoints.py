"""Checkpoints to resume from: `data/<recipe>/checkpoints/<identity>/checkpoint-<step>/`.

model.safetensors    the trained weights
average.safetensors  their mean, once `train.average` has begun
optimizer.pt         the optimizer's state; learning rates follow from the step
parts/               weights and optimizer instead of these two, with `train.shard`: see `tasks.train.sharded`
random.pt            the states of all random number generators
history.json         the history so far
best.safetensors     the best weights so far, with `keep: best`
identity.json        the values that the training's identity is the hash of
whole.json           the step and the SHA-256 of each file; written last, once the others are on the disk

A checkpoint that does not match its `whole.json` is incomplete or damaged; it is removed, and the one before is used.
`stable-<step>` is a checkpoint that a finished training leaves for a longer one: see `tasks.train.earlier`.
"""

import json
import os
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.identity import hash_file
from tasks.train.history import History
from tasks.train.identity import Identity, differences
from tasks.train.state import Snapshot
from tasks.train.weights import Tensors, set_weights

KEPT = 2
"""Number of checkpoints to keep."""
WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
AVERAGE = "average.safetensors"
PARTS = "parts"
RANDOM = "random.pt"
HISTORY = "history.json"
IDENTITY = "identity.json"
MARK = "whole.json"
MARK_BYTES = 1 << 16
"""Maximum size of a mark that we write."""
BEST = "best.safetensors"
KIND, STABLE = "checkpoint", "stable"
REFERENCE = "reference.npz"
"""The base's log-probabilities, for preference losses: see `tasks.train.reference`."""
TIMING = "timing.json"
"""Timing and hardware facts; not an output of the stage."""


def last_whole(folder: Path, identity: Identity) -> Path | None:
    """The last whole checkpoint; incomplete and damaged ones after it are removed.

    Raises GristmillError if it is of another training.
    """
    for path in reversed(by_step(folder)):
        if is_whole(path):
            _require_own(path, identity)
            return path
        say(f"{path}: incomplete or damaged; removed")
        _remove(path)
    return None


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint; 0 for None."""
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def begin(folder: Path, step: int, history: History) -> Path:
    """The empty folder of a checkpoint. The best weights are linked at once: a later evaluation replaces them."""
    checkpoint = folder / f"{KIND}-{step}"
    checkpoint.mkdir()
    if history.best_sha256 is not None:
        _link(folder / BEST, checkpoint / BEST)
    return checkpoint


def save(checkpoint: Path, snapshot: Snapshot, identity: Identity, spared: int = 0) -> None:
    """Write a snapshot into the folder that `begin` made, and remove all checkpoints but the last KEPT and the one of
    the step `spared`."""
    import torch

    if snapshot.weights is not None:
        save_weights(snapshot.weights, checkpoint / WEIGHTS)
    if snapshot.average is not None:
        save_weights(snapshot.average, checkpoint / AVERAGE)
    states = {RANDOM: snapshot.random} | ({} if snapshot.optimizer is None else {OPTIMIZER: snapshot.optimizer})
    for name, state in states.items():
        with (checkpoint / name).open("wb") as file:  # an open file: torch alone hides why a disk refuses
            torch.save(state, file)
    write(checkpoint / HISTORY, snapshot.history)
    write(checkpoint / IDENTITY, asdict(identity))
    for path in (*checkpoint.iterdir(), *(checkpoint / PARTS).glob("*")):
        sync(path)
    write(checkpoint / MARK, _mark(checkpoint))
    for path in (checkpoint / MARK, checkpoint, checkpoint.parent):
        sync(path)
    for old in by_step(checkpoint.parent)[:-KEPT]:
        if step_of(old) != spared:
            _discard(old)


def read(checkpoint: Path) -> Snapshot:
    """The state in a checkpoint, without what is in parts."""
    import torch

    whole = not (checkpoint / PARTS).exists()
    return Snapshot(
        load_weights(checkpoint / WEIGHTS) if whole else None,
        torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True) if whole else None,
        torch.load(checkpoint / RANDOM, weights_only=True),
        json.loads((checkpoint / HISTORY).read_text(encoding="utf-8")),
        load_weights(checkpoint / AVERAGE) if (checkpoint / AVERAGE).exists() else None,
    )


def take_best(checkpoint: Path, history: History, folder: Path) -> None:
    """Put the best weights of a checkpoint, if it has some, into the folder of a training."""
    if history.best_sha256 is not None:
        _link(checkpoint / BEST, folder / BEST)


def save_best(folder: Path, weights: Tensors) -> str:
    """Write the best weights so far; returns their SHA-256."""
    save_weights(weights, folder / BEST)
    return hash_file(folder / BEST)


def load_best(folder: Path, model: Any, history: History) -> None:
    """Load the best weights into the model. Raises TransientError if they are not the ones that were written."""
    path = folder / BEST
    if not path.is_file() or hash_file(path) != history.best_sha256:
        raise TransientError(f"{path}: damaged since it was written; run again: training resumes before the damage")
    set_weights(model, load_weights(path))


def read_identity(checkpoint: Path) -> Identity | None:
    """The identity of a checkpoint's training; None if the file cannot be read."""
    try:
        return Identity.from_json(json.loads((checkpoint / IDENTITY).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _require_own(checkpoint: Path, identity: Identity) -> None:
    found = read_identity(checkpoint)
    if found is None or found.hash != identity.hash:
        what = "unknown" if found is None else differences(found.values, identity.values)
        raise GristmillError(
            f"{checkpoint}: a checkpoint of another training, which this one cannot go on from: {what}; remove it"
        )


def clear(folder: Path, stable: int = 0) -> None:
    """Remove the checkpoints, best weights and reference of a finished run; timing.json stays, and so does the
    checkpoint of the step `stable`, under a name from which the same training would not resume."""
    kept = folder / f"{KIND}-{stable}"
    if (kept / MARK).is_file():
        _discard(place := folder / f"{STABLE}-{stable}")
        if not place.exists():
            kept.rename(place)
    for path in _of(folder):
        if path.name != f"{STABLE}-{stable}":
            _discard(path)


def clear_others(folder: Path, keep: int, also: Path | None = None) -> None:
    """Clear the checkpoints of earlier versions of the recipe, all but the `keep` newest and the folder `also`, and say
    so.

    A link to a folder is somebody's own, and stays.
    """
    others = [other for other in other_folders(folder) if _of(other)]
    for other in sorted(others, key=lambda path: path.stat().st_mtime)[: len(others) - keep]:
        if other == also:
            continue
        clear(other)
        if not _of(other):
            say(f"{other}: removed the checkpoints of an earlier version of the recipe or of the code")


def other_folders(folder: Path) -> list[Path]:
    """The folders of earlier versions of the recipe that can be read; no links."""
    folders = [other for other in folder.parent.iterdir() if other != folder and other.is_dir()]
    return [other for other in folders if not other.is_symlink() and _may_read(other)]


def save_weights(weights: Tensors, path: Path) -> None:
    """Write weights as safetensors, atomically."""
    from safetensors.torch import save_file

    partial = path.with_name(f"{path.name}.partial")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, os.fspath(partial))
    partial.replace(path)


def load_weights(path: Path) -> Tensors:
    """The output of `save_weights`, on the CPU."""
    from safetensors.torch import load_file

    return load_file(path)


def _may_read(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _of(folder: Path) -> list[Path]:
    """All that a training leaves to go on from."""
    best, reference = folder.glob(f"{BEST}*"), folder.glob(f"{REFERENCE}*")
    return [*by_step(folder), *by_step(folder, STABLE), *best, *reference]


def by_step(folder: Path, kind: str = KIND) -> list[Path]:
    """The checkpoints by step; other names are not ours."""
    return sorted((path for path in folder.iterdir() if re.fullmatch(rf"{kind}-[0-9]+", path.name)), key=step_of)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is complete, and its files are those that were written."""
    mark = path / MARK
    try:
        if not mark.is_file() or mark.stat().st_size > MARK_BYTES:
            return False
        return bool(json.loads(mark.read_text(encoding="utf-8")) == _mark(path))
    except (OSError, ValueError, RecursionError):
        return False


def _mark(checkpoint: Path) -> dict[str, Any]:
    """The content of `whole.json`. Raises OSError if a file is missing or cannot be read."""
    more = [name for name in (AVERAGE, BEST) if (checkpoint / name).exists()]
    parts = sorted(path.relative_to(checkpoint).as_posix() for path in (checkpoint / PARTS).glob("*"))
    names = (*(parts or (WEIGHTS, OPTIMIZER)), RANDOM, HISTORY, IDENTITY, *more)
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
        say(f"{path}: cannot be removed: {error.strerror}; remove it yourself")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def say(text: str) -> None:
    """A line for the user; never part of a result."""
    print(f"train: {text}", file=sys.stderr, flush=True)


def write(path: Path, value: object) -> None:
    """Write JSON, atomically."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
