"""Learning curves of two trainings: loss and validation loss by step."""

import csv
from dataclasses import dataclass

from tasks.changes.record import HISTORY, Record
from tasks.stage.errors import DataError

MOST = 400
"""Points of a curve; longer ones are thinned out, the last point stays."""

Points = tuple[tuple[float, float], ...]
"""(step, value), by step."""


@dataclass(frozen=True)
class Curve:
    """The curves of one training."""

    loss: Points
    validation_loss: Points


def read_curve(record: Record) -> Curve | None:
    """None if it is not recorded. Raises DataError for a damaged file."""
    path = record.files.get(HISTORY)
    if path is None:
        return None
    points: dict[str, list[tuple[float, float]]] = {"loss": [], "validation_loss": []}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                for name, own in points.items():
                    if row.get(name):
                        own.append((float(row["step"]), float(row[name])))
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{record.name}: {HISTORY} line {number}: expected a step and its losses") from error
    return Curve(_thin(points["loss"]), _thin(points["validation_loss"]))


def _thin(points: list[tuple[float, float]]) -> Points:
    every = -(-len(points) // MOST) or 1
    kept = points[::every]
    return tuple(kept if not points or kept[-1] == points[-1] else [*kept, points[-1]])
