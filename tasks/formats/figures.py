"""Shared code for plots: `Figure` objects without pyplot and its global state; reproducible bytes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, TRAIN, VALIDATION = "#24292f", "#d0d7de", "#0969da", "#cf222e"


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=144, layout="constrained", facecolor="white")


def short(name: str) -> str:
    """A name cut to fit next to an axis."""
    return name if len(name) <= 28 else f"{name[:27]}…"


def dress(figure: "Figure", text: str, grid: bool = True) -> None:
    """Add the title and style all axes alike."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        if grid:
            axes.grid(color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelcolor=INK)


def bars_of_shares(axes: "Axes", names: Sequence[str], most: float) -> None:
    """Axes for horizontal bars of 0 to 100 %, the first name on top; `most` > 1 leaves room for numbers."""
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, most)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG without date or version."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the plot shows a box instead
        figure.savefig(path, metadata={"Software": None})
