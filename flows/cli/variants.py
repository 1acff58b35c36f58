"""The variants of all recipes beside their models, for `gristmill results`: a table of its own.

In a Markdown file it stands between `<!-- variants -->` and `<!-- /variants -->`, if these are there. Rows of recipes
without variants on this machine stay as another machine wrote them.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from flows.cli.tables import cells_of, shown_score
from flows.summary import cell, read_json
from tasks.stage.run import DATA

MARKED = re.compile(r"(<!-- variants -->\n)(.*?)(<!-- /variants -->)", re.DOTALL)


class VariantRow(NamedTuple):
    """A model or one of its variants; all cells are text."""

    recipe: str
    variant: str
    size: str
    score: str
    loss: str
    speed: str
    memory: str


HEADER = VariantRow("recipe", "variant", "size", "on the test split", "worse by", "speed", "memory")


def read_variants(recipes: list[str]) -> list[VariantRow]:
    """A row for each model with variants, and for each of these."""
    return [row for recipe in recipes for row in _read(recipe)]


def _read(recipe: str) -> list[VariantRow]:
    folder = DATA / recipe
    measured, compared = read_json(folder / "measured.json"), read_json(folder / "measured" / "report.json")
    speed, details = read_json(folder / "speed.json"), compared.get("details") or {}
    if not measured or not details:
        return []
    metric = next(iter(next(iter(details.values()))))
    rows = []
    for name, numbers in measured.items():
        pace, figures = speed.get(name) or {}, (details.get(name) or {}).get(metric)
        rows.append(
            VariantRow(
                recipe=recipe,
                variant="–" if name == "model" else name,
                size=f"{numbers['bytes'] / 1e6:,.3g} MB",
                score=f"{metric} {shown_score(numbers[metric])}",
                loss=_loss(figures) if figures else "",
                speed=f"{pace['times_as_fast']:.2f}" if pace else "",
                memory=f"{pace['memory'] / 1e6:,.0f} MB" if pace else "",
            )
        )
    return rows


def _loss(figures: dict[str, Any]) -> str:
    """The loss against the model, with its interval; negative if the variant is better."""
    told = f"{-figures['gain']:.2g}"
    if figures["low"] is None:
        return told
    return f"{told} ({-figures['high']:.2g} to {-figures['low']:.2g})"


def write_variants(path: Path, rows: list[VariantRow], recipes: list[str]) -> None:
    """Write the rows between the markers of a Markdown file that has them; rows of other `recipes` stay."""
    text = path.read_bytes().decode("utf-8")
    if (found := MARKED.search(text)) is None:
        return
    here = {row.recipe for row in rows}
    there = [VariantRow(*cells) for line in found[2].splitlines() if len(cells := cells_of(line)) == len(HEADER)]
    kept = [row for row in there if row.recipe in recipes and row.recipe not in here]
    ordered = sorted([*rows, *kept], key=lambda row: recipes.index(row.recipe))
    lines = [HEADER, VariantRow(*("---" for _ in HEADER)), *ordered]
    table = "".join(f"| {' | '.join(cell(part) for part in line)} |\n" for line in lines)
    path.write_bytes(f"{text[: found.start(2)]}{table}{text[found.end(2) :]}".encode())
