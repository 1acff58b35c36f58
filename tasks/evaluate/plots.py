"""Two pictures for people: how the training went, and how the scores spread over the test documents.

Drawn on `Figure` objects, without pyplot and its global state; the same bytes each time.
"""

import csv
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.contract.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("step", "tokens", "loss", "validation_loss", "learning_rate")
GROUPS = 24
"""Groups that get a line of their own; of more, the best and the worst half of as many."""

INK, FAINT, TRAIN, VALIDATION = "#24292f", "#d0d7de", "#0969da", "#cf222e"
BASELINES = {"xz_bits_per_byte": ("xz", "#8250df"), "unigram_bits_per_byte": ("unigram", "#9a6700")}

History = dict[str, list[float]]


def read_history(path: Path) -> History:
    """The columns of a training's `history.csv`, NaN where a cell is empty. Raises DataError for one that is none."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise DataError(f"{path}: no column {', '.join(missing)}")
        columns: History = {name: [] for name in COLUMNS}
        for line, row in enumerate(reader, 2):
            for name in COLUMNS:
                try:
                    columns[name].append(float(row[name] or "nan"))
                except ValueError as error:
                    raise DataError(f"{path} line {line}: {name}: {row[name]!r} is not a number") from error
    return columns


def draw_curves(path: Path, history: History, recipe: str) -> None:
    """Loss in nats per token over steps, and below it the learning rate."""
    figure = _figure(8, 5.2)
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
    loss.set_ylabel("loss (nats per token)")
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
    _title(figure, f"{recipe}: the training")
    _save(figure, path)


def draw_scores(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    recipe: str,
) -> None:
    """Bits per byte of the documents: a histogram, and a line per group with a dot per document."""
    rows = [row for row in rows if row["bytes"]]
    if len(groups) > GROUPS:
        groups = [*groups[: GROUPS // 2], *groups[-GROUPS // 2 :]]
    figure = _figure(8, 3.4 + 0.28 * len(groups))
    spread, strip = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, max(1.2, 0.28 * len(groups))])
    scores = np.array([row["bits_per_byte"] for row in rows])
    spread.hist(scores, bins=min(40, max(10, round(math.sqrt(len(scores)) * 2))), color=TRAIN, alpha=0.75)
    spread.set_ylabel("documents")
    spread.yaxis.get_major_locator().set_params(integer=True)
    _draw_groups(strip, rows, groups)
    lines = {"bits_per_byte": ("this model", VALIDATION), **BASELINES}
    for key, (label, color) in lines.items():
        for axes in (spread, strip):
            axes.axvline(metrics[key], color=color, linewidth=1.4, linestyle="-" if key == "bits_per_byte" else "--")
        spread.plot([], [], color=color, linestyle="-" if key == "bits_per_byte" else "--",
                    label=f"{label} {metrics[key]:.3f}")  # fmt: skip
    spread.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    strip.set_xlabel("bits per byte (lower is better; a dot: a document, a bar: its whole group)")
    _title(figure, f"{recipe}: {len(rows):,} held-out documents")
    _save(figure, path)


def _draw_groups(axes: "Axes", rows: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """A line per group, best on top: a dot per document as large as its text, and a bar at the group's own score."""
    place = {group["group"]: number for number, group in enumerate(groups)}
    shown = [row for row in rows if row["group"] in place]
    largest = max(row["bytes"] for row in shown)
    axes.scatter(
        [row["bits_per_byte"] for row in shown],
        [place[row["group"]] for row in shown],
        s=[10 + 90 * row["bytes"] / largest for row in shown],
        color=TRAIN, alpha=0.35, linewidths=0, zorder=3,
    )  # fmt: skip
    axes.scatter([g["bits_per_byte"] for g in groups], range(len(groups)), marker="|", s=160, color=INK, zorder=4)
    axes.set_yticks(range(len(groups)), [_short(group["group"]) for group in groups])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_ylabel("group")


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=144, layout="constrained", facecolor="white")


def _title(figure: "Figure", text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelcolor=INK)


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box in the picture says it too
        figure.savefig(path, metadata={"Software": None})
