"""Plot the learning curves: loss and learning rate over training steps."""

import csv
from pathlib import Path

import numpy as np

from tasks.formats.figures import INK, TRAIN, VALIDATION, dress, new_figure, save
from tasks.stage.errors import DataError

COLUMNS = ("step", "tokens", "loss", "validation_loss", "learning_rate")

History = dict[str, list[float]]


def read_history(path: Path) -> History:
    """The columns of `history.csv`; empty cells are NaN. Raises DataError for an invalid file."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise DataError(f"{path}: missing column {', '.join(missing)}")
        columns: History = {name: [] for name in COLUMNS}
        for line, row in enumerate(reader, 2):
            for name in COLUMNS:
                try:
                    columns[name].append(float(row[name] or "nan"))
                except ValueError as error:
                    raise DataError(f"{path} line {line}: {name}: {row[name]!r} is not a number") from error
    return columns


def draw_curves(path: Path, history: History, recipe: str, unit: str) -> None:
    """Plot the loss in nats per `unit`, and the learning rate below it."""
    figure = new_figure(8, 5.2)
    loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    steps = np.array(history["step"])
    for name, label, look in (
        ("loss", "training", {"color": TRAIN, "linewidth": 1.2}),
        ("validation_loss", "validation", {"color": VALIDATION, "linewidth": 1.6, "marker": "o", "markersize": 4}),
    ):
        values = np.array(history[name])
        there = np.isfinite(values)
        if there.any():
            last = values[there][-1]
            loss.plot(steps[there], values[there], label=f"{label}, {last:.3f} at the end", **look)
    if loss.lines:
        loss.legend(frameon=False)
    loss.set_ylabel(f"loss (nats per {unit})")
    values = np.array(history["learning_rate"])
    there = np.isfinite(values)
    rate.plot(steps[there], values[there], color=INK, linewidth=1.2)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    rate.set_ylabel("learning rate")
    seen = np.array(history["tokens"])
    amount = f" ({np.nanmax(seen):,.0f} tokens seen)" if np.isfinite(seen).any() else ""
    rate.set_xlabel(f"step{amount}")
    figure.align_ylabels()
    dress(figure, f"{recipe}: the training")
    save(figure, path)
