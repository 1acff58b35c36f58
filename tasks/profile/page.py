"""The profile as one self-contained HTML file with embedded plots, easy to share."""

from base64 import b64encode
from html import escape

from tasks.formats.pages import POLICY
from tasks.profile.measure import Profile
from tasks.profile.pictures import draw_languages, draw_lengths
from tasks.profile.tables import Table, tables

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #d0d7de; vertical-align: top }
td { overflow-wrap: anywhere }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
img { width: 100%; margin-top: 1.5rem }
"""


def page(profile: Profile) -> str:
    """The page as HTML; the same profile gives the same bytes."""
    pictures = {
        "what is left after each group of rules": profile.funnel.read_bytes(),
        "lengths": draw_lengths(profile.whole, profile.recipe),
        "languages": draw_languages(profile.whole, profile.recipe),
    }
    shown = "\n".join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png).decode()}">'
        for name, png in pictures.items()
    )
    title = escape(f"{profile.recipe}: what the corpus is")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{POLICY}\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{title}</h1>\n"
        + "\n".join(map(_table, tables(profile)))
        + f"\n{shown}\n</html>\n"
    )


def _table(table: Table) -> str:
    classes = [' class="number"' if column in table.numbers else "" for column in table.columns]

    def row(tag: str, cells: tuple[str, ...]) -> str:
        columns = zip(classes, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in columns) + "</tr>"

    rows = "\n".join(row("td", cells) for cells in table.rows)
    return f"<h2>{escape(table.title)}</h2>\n<table>\n{row('th', table.columns)}\n{rows}\n</table>"
