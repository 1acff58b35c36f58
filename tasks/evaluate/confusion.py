"""Plot the confusion matrix."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.formats.figures import INK, dress, new_figure, save, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = 60
"""Maximum rows and columns; beyond it, the least frequent classes are merged into `OTHERS`."""
OTHERS = "(others)"

WRITTEN = 20
"""Up to this many classes, cells show counts."""


def draw_confusion(path: Path, labels: Sequence[str], predicted: Sequence[str], recipe: str) -> None:
    """Plot a row per true class and a column per predicted class, shaded by the share of the row's documents."""
    names, counts = confusion_matrix(labels, predicted)
    side = max(3.0, min(0.34 * len(names), 14.0))
    figure = new_figure(max(side + 2.6, 8), side + 1.6)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 9 if len(names) <= WRITTEN else 7
    shown = [short(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(len(names)), shown, fontsize=size, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= WRITTEN:
        _write_counts(axes, counts, shares)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true class")
    right = int(np.trace(counts)) / len(labels)
    dress(figure, f"{recipe}: {len(labels):,} held-out documents, {right:.1%} right", grid=False)
    save(figure, path)


def confusion_matrix(labels: Sequence[str], predicted: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Class names, sorted with `OTHERS` last, and document counts [true, predicted]."""
    frequent = Counter([*labels, *predicted])
    kept = sorted(frequent, key=lambda name: (-frequent[name], name))
    names = sorted(kept if len(kept) <= CLASSES else kept[: CLASSES - 1])
    names += [OTHERS] if len(kept) > CLASSES else []
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for label, guess in zip(labels, predicted, strict=True):
        counts[place.get(label, len(names) - 1), place.get(guess, len(names) - 1)] += 1
    return names, counts


def _write_counts(axes: "Axes", counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize=7)
