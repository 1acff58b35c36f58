"""Conversations before and after training: bits per byte of their answers, and chrF of generated ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.formats.figures import TRAIN, dress, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = (("this model", TRAIN, 0.7), ("before training", "#1a7f37", 0.35), ("nearest question", "#9a6700", 0.3))
"""Label, color and opacity."""

Spread = Mapping[str, tuple[Sequence[float], float | None]]
"""Label → the score of each conversation, and the metric."""


def draw_answers(path: Path, bits: Spread, chrf: Spread, recipe: str, documents: int) -> None:
    """Histograms of both scores over conversations, a line at each metric. Labels are those of LOOKS."""
    figure = new_figure(8, 6)
    above, below = figure.subplots(2, 1)
    largest = max((max(values, default=0.0) for values, _ in bits.values()), default=0.0)
    _draw(
        above, bits, np.linspace(0, max(largest, 1e-6), 41).tolist(), "bits per byte of the answers (lower is better)"
    )
    _draw(below, chrf, np.linspace(0, 100, 41).tolist(), "chrF of the generated answers (higher is better)")
    dress(figure, f"{recipe}: {documents:,} held-out conversations")
    save(figure, path)


def _draw(axes: "Axes", spread: Spread, bins: list[float], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, color, alpha in LOOKS:
        if name not in spread:
            continue
        values, metric = spread[name]
        shown = name if metric is None else f"{name} {metric:.4g}"
        axes.hist(np.clip(values, bins[0], bins[-1]), bins=bins, color=color, alpha=alpha, label=shown)
        if metric is not None:
            axes.axvline(metric, color=color, linewidth=1.4, linestyle="-" if name == LOOKS[0][0] else "--")
    axes.set_xlim(bins[0], bins[-1])
    axes.set_xlabel(label)
    axes.set_ylabel("conversations")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
