"""Plot the distribution of document scores, by group or against a baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats.figures import INK, TRAIN, VALIDATION, dress, new_figure, save, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = 24
"""Maximum number of groups to show; of more, the best and worst halves."""

BASELINE = "#9a6700"
BASELINES = {"base": ("before training", "#1a7f37"), "xz": ("xz", "#8250df"), "unigram": ("unigram", BASELINE)}


@dataclass(frozen=True)
class Measure:
    """A document score; lower is better."""

    key: str
    """Column of the score."""
    size: str
    """Column of the measured amount of a document; without any, it has no score."""
    label: str
    logarithmic: bool = False


def draw_scores(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    recipe: str,
    measure: Measure,
) -> None:
    """Plot a histogram of document scores, and a line per group with a dot per document."""
    rows = [row for row in rows if row[measure.size]]
    if len(groups) > GROUPS:
        groups = [*groups[: GROUPS // 2], *groups[-GROUPS // 2 :]]
    figure = new_figure(8, 3.4 + 0.28 * len(groups))
    spread, strip = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, max(1.2, 0.28 * len(groups))])
    scores = np.array([row[measure.key] for row in rows])
    spread.hist(scores, bins=_bins(scores, measure), color=TRAIN, alpha=0.75)
    spread.set_ylabel("documents")
    spread.yaxis.get_major_locator().set_params(integer=True)
    _draw_groups(strip, rows, groups, measure)
    if measure.logarithmic:
        strip.set_xscale("log")
    found = {f"{name}_{measure.key}": look for name, look in BASELINES.items()}
    lines = {measure.key: ("this model", VALIDATION)} | {key: look for key, look in found.items() if key in metrics}
    for key, (label, color) in lines.items():
        for axes in (spread, strip):
            axes.axvline(metrics[key], color=color, linewidth=1.4, linestyle="-" if key == measure.key else "--")
        spread.plot([], [], color=color, linestyle="-" if key == measure.key else "--",
                    label=f"{label} {metrics[key]:.3f}")  # fmt: skip
    spread.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    strip.set_xlabel(f"{measure.label} (lower is better; a dot: a document, a bar: its whole group)")
    dress(figure, f"{recipe}: {len(rows):,} held-out documents")
    save(figure, path)


def _bins(scores: NDArray[np.float64], measure: Measure) -> int | list[float]:
    number = min(40, max(10, round(math.sqrt(len(scores)) * 2)))
    if not measure.logarithmic:
        return number
    return [float(edge) for edge in np.geomspace(scores.min() * 0.99, scores.max() * 1.01, number + 1)]


def _draw_groups(
    axes: "Axes", rows: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], measure: Measure
) -> None:
    """A line per group, best on top: a dot per document, sized by its text, and a bar at the group's score."""
    place = {group["group"]: number for number, group in enumerate(groups)}
    shown = [row for row in rows if row["group"] in place]
    largest = max(row[measure.size] for row in shown)
    axes.scatter(
        [row[measure.key] for row in shown],
        [place[row["group"]] for row in shown],
        s=[10 + 90 * row[measure.size] / largest for row in shown],
        color=TRAIN, alpha=0.35, linewidths=0, zorder=3,
    )  # fmt: skip
    axes.scatter([g[measure.key] for g in groups], range(len(groups)), marker="|", s=160, color=INK, zorder=4)
    axes.set_yticks(range(len(groups)), [short(group["group"]) for group in groups], parse_math=False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_ylabel("group")


def draw_against_baseline(path: Path, scores: Mapping[str, Sequence[float]], name: str, recipe: str) -> None:
    """Plot histograms of document scores, 0 to 100, for model and baseline, with lines at the means."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(8, 3.8)
    axes = figure.subplots()
    bins = np.linspace(0, 100, 41).tolist()
    for (label, values), (color, alpha) in zip(scores.items(), ((TRAIN, 0.75), (BASELINE, 0.35)), strict=True):
        mean = math.fsum(values) / len(values)
        axes.hist(np.clip(values, 0, 100), bins=bins, color=color, alpha=alpha, label=f"{label}, mean {mean:.1f}")
        axes.axvline(mean, color=color, linewidth=1.4, linestyle="-" if color == TRAIN else "--")
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"{name} of a document (higher is better)")
    axes.set_ylabel("documents")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    dress(figure, f"{recipe}: {len(next(iter(scores.values()))):,} held-out documents")
    save(figure, path)
