"""What the command line prints: a run's summary, the recipes, the runs."""

from typing import TYPE_CHECKING, Any

from flows.summary import Summary, figure
from tasks.contract.errors import RecipeError, TransientError

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 160
"""Columns where there is no terminal to fit into: a log, a pipe."""


def print_summary(summary: Summary) -> None:
    """A row per stage, the metrics beside the baselines, the registered version, and the commands that show more."""
    table = _table("stage", "", "seconds")
    for row in summary.rows:
        table.add_row(row.address, row.happened, f"{row.seconds:,.1f}" if row.happened != "unchanged" else "")
    _print(table)
    if summary.metrics:
        _print(_metrics(summary.metrics))
    if summary.registration:
        found = summary.registration
        _print(f"{found['model']} version {found['version']}: {found['alias']}, {found['reason']}")
    if summary.warning:
        _print(f"warning: {summary.warning}")
    ran = sum(row.happened == "ran" for row in summary.rows)
    done = f"{ran} of {len(summary.rows)} stages ran" if ran else "nothing to do: no stage has changed"
    _print(f"{summary.recipe}: {done} ({summary.seconds:,.1f} s)")
    more = {
        f'gristmill generate {summary.recipe} "…"': "text from the champion",
        f"gristmill runs {summary.recipe}": "this run beside the others",
        "make ui": "the pages of MLflow and Prefect",
        "dvc metrics diff; dvc plots show": "what changed since the last commit, and the curves",
    }
    _print("\n" + "\n".join(f"  {command:{max(map(len, more))}}  {what}" for command, what in more.items()))


def print_recipes() -> None:
    """All recipes of this project, with their champions."""
    from flows.wiring import wired_recipes
    from tasks.recipe import load
    from tasks.register.champion import champion

    table = _table("recipe", "task", "model", "source", "champion", "metric", "")
    away: str | None = None
    for name in wired_recipes():
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
        table.add_row(
            name,
            recipe.task,
            recipe.model.architecture,
            recipe.ingest.root.title(),
            f"version {found['version']}" if found else "none yet",
            str(found["metric"]) if found else "",
            figure(found["value"]) if found else "",
        )
    _print(table)
    if away is not None:
        _print(f"warning: champions are not shown: {away}")


def print_runs(recipe: str | None) -> None:
    """Runs from MLflow, the best of each recipe first."""
    from flows.wiring import wired_recipes
    from tasks.register.champion import runs

    wired_recipes()  # says where to run this, where it is not here
    rows = runs(recipe)
    if not rows:
        _print(f"no runs yet: gristmill run {recipe or 'RECIPE'}")
        return
    headline = {row["metric"] for row in rows}
    score = headline.pop() if len(headline) == 1 else "metric"
    table = _table("run", "started", "status", score, "validation loss", "parameters", "steps", "version")
    for row in rows:
        table.add_row(
            row["run"],
            row["started"].replace("T", " ")[:16],
            row["status"].lower(),
            figure(row["value"]),
            figure(row["validation_loss"]),
            figure(row["parameters"]),
            figure(row["steps"]),
            " ".join([figure(row["version"]), *row["aliases"]]),
        )
    _print(table)


def _metrics(metrics: dict[str, Any]) -> "Table":
    """Numbers under the names they have in metrics.json; a baseline stands beside the metric that it is one of."""
    from tasks.register.settings import is_baseline

    baselines = {name: value for name, value in metrics.items() if is_baseline(name)}
    table = _table("metric", "", "baselines")
    for name, value in metrics.items():
        if name not in baselines and isinstance(value, (int, float)):
            beside = [
                f"{key.removesuffix(f'_{name}')} {figure(other)}"
                for key, other in baselines.items()
                if key.endswith(f"_{name}")
            ]
            table.add_row(name, figure(value), ", ".join(beside))
    return table


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = {"seconds", "", "parameters", "steps", "validation loss", "bits_per_byte"}
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table


def _print(what: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=isinstance(what, str))
    if not console.is_terminal:
        console.width = WIDE
    console.print(what)
