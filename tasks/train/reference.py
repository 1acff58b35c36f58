"""The base's log-probabilities of the answers, for preference losses that compare the model with its base.

They are computed once, before the first step, without dropout and in the precision of the training, and kept as
`reference.npz` beside the checkpoints, so that a resume reads them. A file of another training, or a damaged one, is
computed again.
"""

import json
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.stage.errors import GristmillError
from tasks.stage.progress import progress
from tasks.train.batches import Data, find_asked
from tasks.train.checkpoints import REFERENCE, sync
from tasks.train.head import find_tail
from tasks.train.loop import make_accelerator
from tasks.train.loss import MISMATCHED
from tasks.train.plan import Plan
from tasks.train.preference_loss import log_probabilities, mismatched
from tasks.train.preferences import PreferenceBatches, preference_batches

Arrays = dict[str, NDArray[np.float32]]


def add_reference(model: Any, plan: Plan, identity: str) -> bool:
    """Give the batches of a plan the base's log-probabilities; returns whether they were read from the file.

    `model`: before the first step, so that it is the base; of a model with adapters, these are switched off.
    Raises GristmillError if one is not finite.
    """
    path = plan.folder / REFERENCE
    shapes = {key: (len(batches.documents.numbers), 2) for key, batches in _keyed(plan.data)}
    arrays = found = _read(path, identity, shapes)
    if arrays is None:
        arrays = _computed(model, plan)
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise GristmillError(
                f"{plan.where}: train: the base's log-probabilities are not finite; try precision: fp32"
            )
        _write(path, identity, arrays)
    for split, batches in preference_batches(plan.data).items():
        batches.reference = {key: arrays[f"{split}/{key}"] for key in _keys(batches)}
    return found is not None


def _computed(model: Any, plan: Plan) -> Arrays:
    import torch

    find_tail(model, plan.data.training.batch(0))
    accelerator = make_accelerator(plan.machine)
    model = model.to(accelerator.device)
    plain = model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    arrays = {key: np.empty((len(batches.documents.numbers), 2), np.float32) for key, batches in _keyed(plan.data)}
    total = sum(batches.count for batches in preference_batches(plan.data).values())
    model.eval()
    with torch.no_grad(), accelerator.autocast(), plain, progress("reference", total, "batches") as shown:
        for split, batches in preference_batches(plan.data).items():
            # The first pass has each pair once. No loader: it would draw a random number, which a resume does not.
            for position in range(batches.count):
                batch = find_asked(batches.batch(position))
                batch = {name: part.to(accelerator.device) for name, part in batch.items()}
                places = batch["pairs"].cpu().numpy()
                for key in _keys(batches):
                    rows = mismatched(batch) if key.startswith(MISMATCHED) else batch
                    values = log_probabilities(model, rows).cpu().numpy()
                    arrays[f"{split}/{key}"][places] = values.reshape(2, -1).T
                shown.advance()
    model.train()
    return arrays


def _keys(batches: PreferenceBatches) -> tuple[str, ...]:
    return ("reference",) if batches.documents.partners is None else ("reference", f"{MISMATCHED}reference")


def _keyed(data: Data) -> list[tuple[str, PreferenceBatches]]:
    return [
        (f"{split}/{key}", batches) for split, batches in preference_batches(data).items() for key in _keys(batches)
    ]


def _write(path: Path, identity: str, arrays: Arrays) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, identity=np.frombuffer(identity.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def _read(path: Path, identity: str, shapes: dict[str, tuple[int, int]]) -> Arrays | None:
    """The arrays in a file; None if it is missing, damaged (npz has a checksum per array) or of another training."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Arrays = {key: file[key] for key in shapes}
            own = file["identity"].tobytes().decode() == identity
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        print(f"{path}: damaged ({json.dumps(str(error))}); computed again", file=sys.stderr)
        return None
    fits = all(arrays[key].shape == shape and np.isfinite(arrays[key]).all() for key, shape in shapes.items())
    if not (own and fits):
        print(f"{path}: of another training; computed again", file=sys.stderr)
        return None
    return arrays
