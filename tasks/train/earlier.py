"""Trainings of earlier versions of a recipe: which of their checkpoints a new training can start from.

Two trainings that differ only in their length (`steps`, `epochs`), their schedule or `checkpoint_every` take the same
first steps, as long as the schedules give the same learning rates: under `wsd`, all steps before the decay of the
shorter one. A checkpoint from there spares the new training these steps; its bytes are the same as from scratch. So a
finished training leaves the checkpoint of its last shared step, one per recipe, as `stable-<step>`.

Any other difference makes another training, which starts anew, and says what differs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.stage.identity import fingerprint
from tasks.train.average import averaged_from
from tasks.train.checkpoints import MARK, STABLE, by_step, is_whole, other_folders, read_identity, say, step_of
from tasks.train.identity import Identity, differences
from tasks.train.plan import Plan
from tasks.train.schedule import share
from tasks.train.settings import ScheduleSettings

FREE = ("steps", "epochs", "schedule", "checkpoint_every")
"""Keys of `train` that do not change the first steps, except by the learning rates."""


def find_start(plan: Plan) -> Path | None:
    """The furthest checkpoint of another training whose steps so far are the same; None if there is none, or if the
    training has checkpoints of its own. Says from where it starts, or what keeps it from starting there."""
    if any((path / MARK).is_file() for path in by_step(plan.folder)):
        return None
    others = other_folders(plan.folder)
    candidates = [path for folder in others for path in (*by_step(folder), *by_step(folder, STABLE))]
    for path in sorted(candidates, key=step_of, reverse=True):
        identity = read_identity(path)
        if identity is None or _prefix(identity.values) != _prefix(plan.identity.values) or not is_whole(path):
            continue
        if _same_rates(identity, plan, step_of(path)):
            say(
                f"going on from step {step_of(path):,} of a training of {identity.steps:,} steps, which is the same up "
                "to there"
            )
            return path
    unfinished = [by_step(folder)[-1] for folder in others if by_step(folder)]
    if unfinished:
        last = max(unfinished, key=lambda path: path.parent.stat().st_mtime)
        identity = read_identity(last)
        what = "" if identity is None else f": {differences(identity.values, plan.identity.values)}"
        say(f"not going on from step {step_of(last):,} of an earlier version{what}")
    return None


def _same_rates(other: Identity, plan: Plan, step: int) -> bool:
    """Whether another training has the same learning rates in its first `step` steps, and averages none of them."""
    lengths = [other.steps, plan.steps]
    average = plan.settings.average
    if average is not None and average.last is not None:
        lengths = [averaged_from(average, steps) for steps in lengths]
    if step >= min(lengths):
        return False
    theirs, ours = ScheduleSettings(**other.values["train"]["schedule"]), plan.settings.schedule
    return all(share(done, other.steps, theirs) == share(done, plan.steps, ours) for done in range(step))


def _prefix(values: Mapping[str, Any]) -> str:
    """The hash of all values that the first steps depend on, but for the learning rates."""
    train = values.get("train")
    if not isinstance(train, Mapping):  # written by hand
        return fingerprint(values)
    return fingerprint({**values, "train": {key: value for key, value in train.items() if key not in FREE}})
