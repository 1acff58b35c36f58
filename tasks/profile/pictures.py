"""Plots of a profile, as PNG bytes."""

from typing import TYPE_CHECKING

from tasks.formats.figures import FAINT, INK, TRAIN, bars_of_shares, dress, new_figure, save
from tasks.profile.measure import Part
from tasks.stage.scratch import scratch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHAT_SIDES = {"text": "questions", "target": "answers", "rejected": "rejected answers"}
"""What the sides of conversations are called."""
LANGUAGES = 12
BINS = 40


def draw_lengths(whole: Part, recipe: str) -> bytes:
    """Histogram of words per document on a logarithmic scale, one per side."""
    import numpy as np

    figure = new_figure(8, 3.4)
    axes = figure.subplots()
    names = name_sides(whole)
    sides = {name: np.maximum(side.lengths("words"), 1) for name, side in whole.sides.items()}
    longest = max(int(words.max()) for words in sides.values())
    edges = np.unique(np.geomspace(1, longest + 1, BINS).round())
    for (name, words), colour in zip(sides.items(), (TRAIN, INK, FAINT), strict=False):
        axes.stairs(
            np.histogram(words, edges)[0], edges, label=names[name], color=colour, fill=name == "text", alpha=0.7
        )
    axes.set_xscale("log")
    axes.set_xlabel("words")
    axes.set_ylabel("documents")
    if len(sides) > 1:
        axes.legend(frameon=False)
    dress(figure, f"{recipe}: lengths")
    return _png(figure)


def draw_languages(whole: Part, recipe: str) -> bytes:
    """Fraction of documents in each of the most frequent languages."""
    names = name_sides(whole)
    found = {f"{names[side]}: {code}": count for side, its in whole.sides.items() for code, count in top(its.languages)}
    figure = new_figure(8, 1.2 + 0.28 * len(found))
    axes = figure.subplots()
    shares = [count / whole.documents for count in found.values()]
    axes.barh(range(len(found)), shares, color=TRAIN)
    for place, (share, count) in enumerate(zip(shares, found.values(), strict=True)):
        axes.text(share + 0.01, place, f"{count:,}", va="center", fontsize=8, color=INK)
    bars_of_shares(axes, list(found), 1.15)
    axes.axvline(1, color=FAINT, linewidth=0.6)
    dress(figure, f"{recipe}: languages, as far as a model can tell", grid=False)
    return _png(figure)


def name_sides(whole: Part) -> dict[str, str]:
    """What to call the sides of the documents."""
    return {side: CHAT_SIDES[side] if whole.turns else side for side in whole.sides}


def top(languages: dict[str, int]) -> list[tuple[str, int]]:
    """The most frequent languages, with all others combined."""
    ranked = sorted(languages.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(count for _, count in ranked[LANGUAGES:])
    return ranked[:LANGUAGES] + ([("others", rest)] if rest else [])


def _png(figure: "Figure") -> bytes:
    with scratch("profile") as folder:
        path = folder / "picture.png"
        save(figure, path)
        return path.read_bytes()
