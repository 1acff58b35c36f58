"""The comparison as one HTML file: nothing is loaded, no script runs; readable in light and dark and on a phone."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.changes.differences import Changes, Side, find_changes
from tasks.changes.extremes import Extreme
from tasks.changes.pictures import draw_curves, draw_slices
from tasks.changes.record import Record
from tasks.changes.tables import Table, names, notes, number, signed, summary, tables
from tasks.formats.pages import POLICY
from tasks.stage.errors import GristmillError

if TYPE_CHECKING:
    from tasks.compare.verdict import Noise

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --faint: #d0d7de; --back: #ffffff; --soft: #f6f8fa; --quiet: #57606a;
  --old: #9a6700; --new: #0969da; --good: #1a7f37; --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #3d444d; --back: #0d1117; --soft: #161b22;
  --quiet: #9198a1; --old: #d29922; --new: #4493f8; --good: #3fb950; --bad: #f85149 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 66rem;
  margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2.4rem 0 .4rem }
p { margin: .4rem 0 } .note { color: var(--quiet) }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem; margin: 1rem 0 }
.side { border: 1px solid var(--faint); border-top: 4px solid var(--old); border-radius: 6px; padding: .6rem 1rem }
.side + .side { border-top-color: var(--new) } .side h3 { margin: 0 0 .3rem; font-size: 1rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: 0; font-size: .9em }
dt { color: var(--quiet) } dd { margin: 0; overflow-wrap: anywhere }
.summary { background: var(--soft); border: 1px solid var(--faint); border-radius: 6px; padding: .6rem 1rem }
.summary p:first-child { font-weight: 600 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .93em }
th { text-align: left; font-weight: 600; vertical-align: bottom }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--faint) } td { vertical-align: top }
td { overflow-wrap: anywhere; white-space: pre-line; min-width: 6rem } td:last-child { min-width: 10rem }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; min-width: 0 !important }
.better { color: var(--good); fill: var(--good) } .worse { color: var(--bad); fill: var(--bad) }
svg { width: 100%; height: auto; max-width: 46rem; display: block; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: var(--faint) } .axis { stroke: var(--quiet) }
polyline { fill: none; stroke-linejoin: round } polyline.old { stroke: var(--old) } polyline.new { stroke: var(--new) }
polyline.loss { stroke-width: 1.2; opacity: .55 } polyline.validation { stroke-width: 2.6 }
circle.old { fill: var(--old) } circle.new { fill: var(--new) }
.key b { font-weight: 600 } .key .old { color: var(--old) } .key .new { color: var(--new) }
details { border: 1px solid var(--faint); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer; overflow-wrap: anywhere }
.output { display: grid; grid-template-columns: fit-content(12rem) 1fr; gap: .3rem .8rem; margin-top: .5rem }
.output { font-size: .93em }
.output span { color: var(--quiet) }
.output div { white-space: pre-wrap; overflow-wrap: anywhere } .output .old { border-left: 3px solid var(--old) }
.output .new { border-left: 3px solid var(--new) } .output .old, .output .new { padding-left: .5rem }
@media (max-width: 34rem) { .output { grid-template-columns: 1fr } body { font-size: 14px } }
"""
SHOWN_ELSEWHERE = ("Became most better", "Became most worse")


def write_page(old: Record, new: Record, path: Path, noise: "Noise | None" = None, reason: str = "") -> Changes:
    """Compare two models and write the page to `path`, whose folder is created; returns the differences.

    `noise`, `reason`: see `find_changes`. Raises GristmillError if the tasks differ.
    """
    changes = find_changes(old, new, noise, reason)
    write(changes, path)
    return changes


def write(changes: Changes, path: Path) -> None:
    """Write the page whole, or leave the old one as it is. Raises GristmillError if that cannot be done."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page(changes), encoding="utf-8", errors="replace")
        partial.replace(path)
    except OSError as error:
        raise GristmillError(f"{path}: cannot write the page: {error.strerror}") from error


def page(changes: Changes) -> str:
    """The page as HTML; the same differences give the same bytes."""
    title = escape(f"{changes.old.name} → {changes.new.name}")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{POLICY}\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{title}</h1>\n" + "\n".join(_body(changes)) + "\n</html>\n"
    )


def _body(changes: Changes) -> Iterator[str]:
    old, new = names(changes)
    yield f'<div class="sides">{_side(changes.old, old)}{_side(changes.new, new)}</div>'
    yield f'<div class="summary">{"".join(f"<p>{escape(text)}</p>" for text in summary(changes))}</div>'
    for table in tables(changes):
        if table.title not in SHOWN_ELSEWHERE:
            yield _table(table)
        if table.title == "Scores":
            yield from _curves(changes)
        if table.title == "Slices" and changes.scores is not None:
            yield draw_slices(changes.scores.slices)
            for heading, extremes in zip(SHOWN_ELSEWHERE, (changes.scores.better, changes.scores.worse), strict=True):
                yield from _extremes(heading, extremes, old, new)
    if left := notes(changes):
        yield "<h2>Not known</h2>\n" + "".join(f'<p class="note">{escape(text)}</p>' for text in left)


def _side(side: Side, name: str) -> str:
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in side.facts.items())
    return f'<div class="side"><h3>{escape(name)}</h3><dl>{facts}</dl></div>'


def _curves(changes: Changes) -> Iterator[str]:
    if drawn := draw_curves(changes.curves):
        old, new = (escape(name) for name in names(changes))
        yield (
            f"<h2>Learning curves</h2>\n{drawn}\n"
            f'<p class="note key"><b class="old">{old}</b>, <b class="new">{new}</b>;'
            " thin: loss, thick: validation loss</p>"
        )


def _table(table: Table) -> str:
    classes = [' class="number"' if column in table.numbers else "" for column in table.columns]

    def row(tag: str, cells: tuple[str, ...]) -> str:
        columns = zip(classes, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{_tone(kind, cell)}>{escape(cell)}</{tag}>" for kind, cell in columns) + "</tr>"

    note = f'\n<p class="note">{escape(table.note)}</p>' if table.note else ""
    if not table.rows:
        return f"<h2>{escape(table.title)}</h2>{note}"
    rows = "\n".join(row("td", cells) for cells in table.rows)
    head = row("th", table.columns)
    return f'<h2>{escape(table.title)}</h2>{note}\n<div class="wide"><table>\n{head}\n{rows}\n</table></div>'


def _tone(kind: str, cell: str) -> str:
    return f' class="{cell}"' if cell in ("better", "worse") else kind


def _extremes(heading: str, extremes: tuple[Extreme, ...], old: str, new: str) -> Iterator[str]:
    if not extremes:
        return
    yield f"<h2>{escape(heading)}</h2>"
    titles = {"old": old, "new": new}
    for place, each in enumerate(extremes):
        told = f"{each.measure} {number(each.old)} → {number(each.new)} ({signed(each.new - each.old)})"
        outputs = "".join(_output(titles.get(name, name), name, text) for name, text in each.outputs)
        inside = f'<div class="output">{outputs}</div>' if outputs else '<p class="note">its text is not at hand</p>'
        shown = " open" if place == 0 or len(each.outputs) > 1 else ""
        yield f"<details{shown}><summary><b>{escape(each.id)}</b> · {escape(told)}</summary>{inside}</details>"


def _output(title: str, side: str, text: str) -> str:
    kind = f' class="{side}"' if side in ("old", "new") else ""
    return f"<span>{escape(title)}</span><div{kind}>{escape(text)}</div>"
