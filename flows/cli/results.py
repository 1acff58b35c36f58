"""`gristmill results`: the results of all recipes.

On the terminal a recipe's champion comes first, read from MLflow if it is not the model in the working tree, which is
the newest one and follows in a row of its own.

`--write FILE` takes the models in the working tree, those of dvc.lock, and writes their rows between two markers in a
Markdown file:

    <!-- results -->
    | recipe | task | …
    <!-- /results -->

Rows of recipes that were not run on this machine stay as another machine wrote them.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from flows.cli.tables import cells_of, shown_score
from flows.summary import cell, machine_of, read_json, read_registration, timing_of
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tasks.stage.progress import duration
from tasks.stage.run import DATA, checkpoints_of

MARKED = re.compile(r"(<!-- results -->)(.*?)(<!-- /results -->)", re.DOTALL)


class Row(NamedTuple):
    """The results of one recipe; all cells are text."""

    recipe: str
    task: str
    model: str
    score: str
    more: str
    baselines: str
    training: str
    machine: str
    date: str


HEADER = Row("recipe", "task", "model", "on the test split", "also", "baselines", "training", "machine", "date")


def print_results(file: str | None) -> None:
    """Print all results in the order of dvc.yaml, or write them between the markers of a Markdown file."""
    from flows.cli.tables import make_table, show, warn
    from flows.cli.variants import HEADER as OF_VARIANTS
    from flows.cli.variants import read_variants, write_variants
    from flows.recipes import SOME, listed_recipes, load_graph, variable

    recipes = list(listed_recipes())
    compressed = [name for name in recipes if name in (variable(load_graph(), SOME["compress"]) or {})]
    rows, warnings = read_results(recipes)
    if file is not None:
        warnings += [warning for row in rows for warning in _not_of_champion(row.recipe)]
        write_results(Path(file), rows, recipes)
        write_variants(Path(file), read_variants(compressed), compressed)
        show(f"{file}: {len(rows)} of {len(recipes)} recipes have results here")
    elif rows:
        shown, more = with_champions(rows)
        warnings += more
        show(make_table(HEADER, shown))
        if variants := read_variants(compressed):
            show(make_table(OF_VARIANTS, variants))
    else:
        show("no results yet; run: gristmill run RECIPE")
    for warning in warnings:
        warn(warning)


def read_results(recipes: list[str]) -> tuple[list[Row], list[str]]:
    """Rows of the recipes with an evaluated model here; warnings for those that cannot be read."""
    rows, warnings = [], []
    for recipe in recipes:
        try:
            if (row := _read(recipe)) is not None:
                rows.append(row)
        except (RecipeError, DataError) as error:
            warnings.append(f"{recipe} is skipped: {str(error).splitlines()[0]}")
    return rows, warnings


def with_champions(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Each row that is not of its recipe's champion behind one that is, the others unchanged; and warnings."""
    found, told = [], []
    for row in rows:
        registration = read_registration(row.recipe)
        try:
            champion = _champion(row, registration.get("version")) if registration else row
        except TransientError as error:
            told.append(f"{row.recipe}: the champion is not shown: {error}")
            champion = row
        if champion is row:
            found.append(row)
            continue
        newest = row._replace(recipe=f"{row.recipe} version {registration['version']}, newest")
        found += [newest] if champion is None else [champion, newest]
        if champion is None:
            told.append(f"{row.recipe}: there is no champion: gristmill runs {row.recipe}")
    return found, told


def _champion(newest: Row, version: int | None) -> Row | None:
    """The row of a recipe's champion: `newest` if it has this version, None without a champion."""
    from tasks.register.champion import champion, runs

    found = champion(newest.recipe)
    if found is None or found["version"] == version:
        return newest if found else None
    run = next((each for each in runs(newest.recipe) if each["run_id"] == found["run_id"]), None)
    size, seconds, tags = (run["parameters"], run["seconds"], run["tags"]) if run else (None, None, {})
    return Row(
        recipe=f"{newest.recipe} version {found['version']}, champion",
        task=newest.task,
        model=", ".join(filter(None, (run["model"] if run else None, _size(size) if size else None))),
        score=f"{found['metric']} {shown_score(found['value'])}" if found["value"] is not None else "",
        more="",
        baselines=", ".join(f"{name} {shown_score(value)}" for name, value in found["baselines"].items()),
        training="" if seconds is None else duration(seconds),
        machine=machine_of(timing_of(tags), tags),
        date=timing_of(tags).get("finished", "")[:10],
    )


def _not_of_champion(recipe: str) -> list[str]:
    """A warning if the model here, the newest, is not the champion."""
    found = read_registration(recipe)
    if not found or found.get("champion") == found["version"]:
        return []
    best = f"version {found['champion']} is champion" if found.get("champion") else "there is no champion"
    return [f"{recipe}: the row is of version {found['version']}, {found['alias']}; {best}: gristmill runs {recipe}"]


def write_results(path: Path, rows: list[Row], recipes: list[str]) -> None:
    """Write the rows between the markers of a Markdown file; rows of other `recipes` that are there stay.

    Raises GristmillError if the markers are missing or a row between them is malformed.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise GristmillError(f"{path}: not UTF-8 at byte {error.start}") from error
    found = MARKED.findall(text)
    if len(found) != 1:
        raise GristmillError(f"{path}: needs the markers <!-- results --> and <!-- /results --> exactly once")
    there = {row.recipe: row for row in _rows(path, found[0][1])}
    here = {row.recipe: row for row in rows}
    merged = [_merge(here.get(name), there.get(name)) for name in recipes]
    table = markdown([row for row in merged if row is not None])
    path.write_bytes(MARKED.sub(lambda match: f"{match[1]}\n{table}{match[3]}", text).encode("utf-8"))


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table, with a trailing newline."""
    lines = [HEADER, Row(*("---" for _ in Row._fields)), *rows]
    return "".join(f"| {' | '.join(cell(text) for text in line)} |\n" for line in lines)


def _merge(here: Row | None, there: Row | None) -> Row | None:
    """The row of this machine; a fetched model keeps the row of the machine that trained it."""
    if here is None or there is None:
        return here or there
    fetched = not (here.training or here.machine or here.date)
    return there if fetched and here[:6] == there[:6] else here


def _rows(path: Path, table: str) -> list[Row]:
    rows = []
    for line in table.splitlines():
        cells = cells_of(line)
        if not line.strip() or cells == list(HEADER) or set("".join(cells)) <= set("-: "):
            continue
        if len(cells) != len(HEADER):
            raise GristmillError(
                f"{path}: between the markers: expected a row of {len(HEADER)} cells: {line.strip()[:60]}"
            )
        rows.append(Row(*cells))
    return rows


def _read(recipe: str) -> Row | None:
    """None without an evaluated model. Raises RecipeError for a broken recipe, DataError for a damaged file."""
    from tasks.register.scores import measured
    from tasks.stage.task import read_task

    folder, task = DATA / recipe, read_task(recipe)
    metrics, report = read_json(folder / "evaluation" / "metrics.json"), read_json(folder / "training" / "report.json")
    found = measured(task, metrics)
    training = report.get("details") if report else None
    if not found or not training:
        return None
    best, *others = found
    parts = {name: own.get(best.metric) for name, own in (metrics.get("by_part") or {}).items()}
    of_parts = [f"{name} {shown_score(value)}" for name, value in parts.items() if value is not None]
    return Row(
        recipe=recipe,
        task=task,
        model=_model(folder, training),
        score=f"{best.metric} {shown_score(best.value, best.interval)}",
        more=", ".join([*of_parts, *(f"{other.metric} {shown_score(other.value)}" for other in others)]),
        baselines=best.told(shown_score),
        **_surroundings(recipe, folder, str(training.get("identity"))),
    )


def _model(folder: Path, training: dict[str, Any]) -> str:
    from tasks.register.base import read_title

    architecture, base = read_json(folder / "model" / "config.json").get("model_type"), read_title(folder / "base")
    kind = " ".join(filter(None, (architecture, f"from {base}" if base else None)))
    size = training.get("parameters")
    return ", ".join(filter(None, (kind, _size(size) if isinstance(size, int) else None)))


def _size(parameters: int) -> str:
    return f"{parameters / 1e6:,.3g} M" if parameters >= 1e5 else f"{parameters:,}"


def _surroundings(recipe: str, folder: Path, identity: str) -> dict[str, str]:
    """Training time, machine and date; empty cells for a model that was only fetched."""
    from tasks.tracking.record import journal_path, read_journal

    timing, tags = read_json(checkpoints_of(recipe, identity) / "timing.json"), {}
    if timing:
        tags = read_journal(journal_path(recipe, identity)).tags
    seconds = timing.get("seconds")
    return {
        "training": duration(float(seconds)) if isinstance(seconds, (int, float)) else "",
        "machine": machine_of(timing, tags),
        "date": str(timing.get("finished", ""))[:10],
    }
