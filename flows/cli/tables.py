"""Tables on the command line: a run's summary, recipes, runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from flows.cli.place import way_here
from flows.summary import Summary, figure, machine_of, read_metrics, timing_of
from tasks.stage.errors import RecipeError, TransientError
from tasks.stage.progress import duration
from tasks.stage.settings import misnamed
from tasks.stage.task import read_task

if TYPE_CHECKING:
    from rich.table import Table

CELL = re.compile(r"(?<!\\)\|")
"""Between two cells of Markdown."""
WIDE = 160
"""Width without a terminal: a log, a pipe."""
REASON = 80
"""Characters of a reason in the table of runs; `gristmill history` has the rest."""


def print_summary(summary: Summary) -> None:
    """Print a row per stage, metrics with baselines, the registered version, and commands that show more."""
    table = make_table(("stage", "", "seconds"), right=("seconds",))
    for row in summary.rows:
        table.add_row(row.address, row.happened, f"{row.seconds:,.1f}" if row.happened != "unchanged" else "")
    show(table)
    if summary.metrics:
        show(_metrics(read_task(summary.recipe), summary.metrics))
    if summary.registration:
        found = summary.registration
        show(f"{found['model']} version {found['version']}: {found['alias'] or 'no alias'}, {found['reason']}")
        for warning in found.get("warnings", ()):
            warn(warning)
    if summary.warning:
        show(f"warning: {summary.warning}")
    ran = sum(row.happened == "ran" for row in summary.rows)
    done = f"{ran} of {len(summary.rows)} stages ran" if ran else "nothing to do: no stage has changed"
    show(f"{summary.recipe}: {done} ({summary.seconds:,.1f} s)")
    name, found = summary.recipe, summary.registration
    if not found:
        first = {f"gristmill run {name}": "complete the record"}
    elif found["champion"] is None:
        first = {f"gristmill promote {name} {found['version']}": "make this version champion; `predict` needs one"}
    else:
        first = {f'gristmill predict {name} "…"': f"run the champion, version {found['champion']}, on a text"}
    more = {
        **way_here(),
        **first,
        f"gristmill runs {name}": "compare this run with the others",
        "make ui": "serve the MLflow and Prefect pages",
        f"dvc metrics diff --targets data/{summary.recipe}/evaluation/metrics.json": "metrics against the last commit",
        f"dvc plots show data/{summary.recipe}/training/history.csv": "the curves",
    }
    show("\n" + "\n".join(f"  {command:{max(map(len, more))}}  {what}" for command, what in more.items()))


def print_recipes() -> None:
    """Print all recipes of this project with their champions."""
    from flows.recipes import listed_recipes
    from tasks.recipe import load
    from tasks.register.champion import champion

    table = make_table(("recipe", "task", "model", "source", "champion", "metric", ""), right=("",))
    away: str | None = None
    warnings = []
    for name in listed_recipes():
        try:
            recipe = load(name)
        except RecipeError as error:
            table.add_row(name, "", f"{len(str(error).splitlines())} errors: gristmill check {name}", "", "", "", "")
            continue
        found: dict[str, Any] | None = None
        if away is None:
            try:
                found = champion(name)
            except TransientError as error:
                away = str(error)
        warnings += [f"{name}: {warning}" for warning in (found["warnings"] if found else ())]
        none = "" if away else "none yet" if read_metrics(name) else "never run"
        table.add_row(
            name,
            recipe.task,
            _model(recipe.model),
            recipe.ingest.root.title(),
            f"version {found['version']}" if found else none,
            str(found["metric"]) if found else "",
            figure(found["value"]) if found else "",
        )
    show(table)
    for warning in [*misnamed().values(), *warnings]:
        warn(warning)
    if away is not None:
        warn(f"champions are not shown: {away}")


def print_runs(recipe: str | None) -> None:
    """Print MLflow runs, the best of each recipe first; recipes that cannot be read are skipped with a warning."""
    from flows.recipes import listed_recipes
    from tasks.register.champion import runs

    names = list(listed_recipes())  # raises outside a project
    rows, warnings = [], []
    for name in names if recipe is None else [recipe]:
        try:
            rows += runs(name)
        except RecipeError as error:
            if recipe is not None:
                raise
            warnings.append(f"{name} is skipped: {str(error).splitlines()[0]}")
    warnings += [f"{row['recipe']}: {warning}" for row in rows for warning in row["warnings"]]
    if rows:
        show(_runs(rows))
    else:
        show(f"no runs yet; run: gristmill run {recipe or 'RECIPE'}")
    for warning in warnings:
        warn(warning)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]] = (), right: Sequence[str] = ()) -> "Table":
    """A table with these rows; the columns in `right` are right-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def show(what: Any) -> None:
    """Print a table or a line, as wide as the terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=isinstance(what, str))
    if not console.is_terminal:
        console.width = WIDE
    console.print(what)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    click.echo(f"warning: {text}", err=True)


def _model(settings: Any) -> str:
    """The architecture of a model from scratch, or the base of a fine-tuned one."""
    from tasks.formats.origin import Scratch, title

    return str(settings.architecture) if isinstance(settings.init, Scratch) else f"from {title(settings.init)}"


def _runs(rows: Sequence[Mapping[str, Any]]) -> "Table":
    headlines = {row["metric"] for row in rows}
    score = headlines.pop() if len(headlines) == 1 else "metric"
    numbers = (score, "validation loss", "parameters", "steps")
    columns = ("run", "started", "time", "machine", "who", "status", *numbers, "version", "reason")
    table = make_table(columns, right=("time", *numbers))
    for row in rows:
        value = figure(row["value"])
        table.add_row(
            row["run"],
            row["started"].replace("T", " ")[:16],
            "" if row["seconds"] is None else duration(row["seconds"]),
            machine_of(timing_of(row["tags"]), row["tags"]),
            row["tags"].get("mlflow.user", ""),
            row["status"].lower(),
            f"{row['metric']} {value}" if value and score == "metric" else value,
            figure(row["validation_loss"]),
            figure(row["parameters"]),
            figure(row["steps"]),
            " ".join([figure(row["version"]), *row["aliases"]]),
            shorten(row["reason"] or "", REASON, placeholder=" …"),
        )
    return table


def _metrics(task: str, metrics: Mapping[str, Any]) -> "Table":
    """Metrics with intervals and baselines, then all other counts."""
    from tasks.register.scores import measured, rest

    rows = []
    for found in measured(task, metrics):
        interval = " to ".join(map(figure, found.interval or ()))
        rows.append((found.metric, figure(found.value), interval, found.told(figure)))
    rows += [(name, figure(number), "", "") for name, number in rest(task, metrics).items()]
    return make_table(("metric", "", "interval", "baselines"), rows, right=("",))


def cells_of(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [text.strip().replace("\\|", "|") for text in CELL.split(line.strip())[1:-1]]


def shown_score(value: float, interval: tuple[float, float] | None = None) -> str:
    """A score with four digits, and its interval."""
    shown = f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:#,.4g}"
    return shown if interval is None else f"{shown} ({shown_score(interval[0])} to {shown_score(interval[1])})"
