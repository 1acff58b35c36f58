"""Pictures of a comparison as SVG that takes its colours from the page, light or dark."""

import math
from collections.abc import Sequence
from html import escape

from tasks.changes.curves import Curve, Points
from tasks.changes.slices import Slice

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 36
BAR = 22
TICKS = 5


def draw_curves(curves: Sequence[Curve | None]) -> str:
    """Loss (thin) and validation loss (thick, with dots) of the old and the new training, by step."""
    lines = [
        (side, kind, points)
        for side, curve in zip(("old", "new"), curves, strict=True)
        if curve is not None
        for kind, points in (("loss", curve.loss), ("validation", curve.validation_loss))
        if points
    ]
    finite = [(x, y) for _, _, points in lines for x, y in points if math.isfinite(y)]
    if not finite:
        return ""
    across, up = (
        _Axis.of([x for x, _ in finite], LEFT, WIDTH - RIGHT),
        _Axis.of([y for _, y in finite], HEIGHT - BOTTOM, TOP),
    )
    parts = [*_grid(across, up)]
    for side, kind, points in lines:
        parts.append(_line(side, kind, points, across, up))
    return _svg(WIDTH, HEIGHT, "learning curves", parts)


def draw_slices(slices: Sequence[Slice]) -> str:
    """The gain of each slice as a bar: to the right if the new model is better."""
    if not slices:
        return ""
    most = max(abs(each.gain) for each in slices) or 1.0
    middle, room = 470.0, 180.0
    parts = [f'<line class="axis" x1="{middle}" x2="{middle}" y1="4" y2="{BAR * len(slices) + 4}"/>']
    for row, each in enumerate(slices):
        y, long = 4 + BAR * row, room * abs(each.gain) / most
        x = middle if each.gain >= 0 else middle - long
        tone = "better" if each.gain >= 0 else "worse"
        short = each.name if len(each.name) <= 40 else f"{each.name[:39]}…"
        beside = middle + long + 6 if each.gain >= 0 else middle + 6
        parts += [
            f'<text x="{middle - room - 10:.0f}" y="{y + 15}" class="end">{escape(short)}</text>',
            f'<rect class="{tone}" x="{x:.1f}" y="{y + 4}" width="{long:.1f}" height="14"/>',
            f'<text x="{beside:.1f}" y="{y + 15}">{each.gain:+.4f}</text>',
        ]
    return _svg(WIDTH, BAR * len(slices) + 8, "gain by slice", parts)


class _Axis:
    """Values onto a length of the picture, with round ticks."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self.low, self.high, self.start, self.stop = low, high, start, stop

    @classmethod
    def of(cls, values: Sequence[float], start: float, stop: float) -> "_Axis":
        low, high = min(values), max(values)
        return cls(low, high if high > low else low + 1.0, start, stop)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
        first = math.ceil(self.low / step)
        return [step * place for place in range(first, math.floor(self.high / step) + 1)]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{tick:g}</text>')
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f'<text class="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{tick:,.0f}</text>')
    parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}">step</text>')
    return parts


def _line(side: str, kind: str, points: Points, across: _Axis, up: _Axis) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points if math.isfinite(y)]
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = f'<polyline class="{side} {kind}" points="{told}"/>'
    dots = places if kind == "validation" and len(places) <= 60 else ()
    return line + "".join(f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots)


def _svg(width: int, height: int, name: str, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {width} {height}">\n{inside}\n</svg>'
