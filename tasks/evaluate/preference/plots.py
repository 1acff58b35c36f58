"""The margins of the pairs: how they spread, and whether they go with the length of the answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluate.exam import Row
from tasks.formats.figures import INK, TRAIN, VALIDATION, dress, new_figure, save

SHOWN = 5000
"""Most pairs in the lower plot; of more, evenly spaced ones."""


def draw_margins(path: Path, rows: Sequence[Row], metrics: Mapping[str, Any], recipe: str) -> None:
    """A histogram of the margins, and below it each pair's margin over the difference in length."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(8, 6)
    above, below = figure.subplots(2, 1)
    margins = np.array([row["margin"] for row in rows])
    lengths = np.array([row["length_difference"] for row in rows])
    above.hist(margins, bins=min(40, max(10, len(rows) // 5)), color=TRAIN, alpha=0.75)
    above.axvline(0, color=INK, linewidth=1)
    told = f"mean {metrics['preference_margin']:.3f}; accuracy {metrics['preference_accuracy']:.1%}"
    above.axvline(metrics["preference_margin"], color=VALIDATION, linewidth=1.4, label=told)
    above.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    above.set_xlabel("margin in nats (right of 0: the chosen answer is preferred)")
    above.set_ylabel("pairs")
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    step = -(-len(rows) // SHOWN)
    below.scatter(lengths[::step], margins[::step], s=14, color=TRAIN, alpha=0.4, linewidths=0)
    below.axhline(0, color=INK, linewidth=1)
    below.axvline(0, color=INK, linewidth=1)
    correlation = metrics["length_correlation"]
    also = "" if correlation is None else f"; correlation {correlation:.2f}"
    below.set_xlabel(f"bytes of the chosen answer minus those of the rejected one{also}")
    below.set_ylabel("margin in nats")
    dress(figure, f"{recipe}: {len(rows):,} held-out pairs")
    save(figure, path)
