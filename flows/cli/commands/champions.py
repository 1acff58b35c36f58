"""Commands about runs and champions: which there are, how good they are, which one reigns."""

from datetime import datetime

import click

from flows.cli.parameters import LONG, Integer, Moment, Reason
from flows.cli.place import RecipeName, command


@command()
@click.argument("recipe", type=RecipeName(), required=False)
def runs(recipe: str | None) -> None:
    """List MLflow runs of RECIPE (default: all), best first."""
    from flows.cli.tables import print_runs

    print_runs(recipe)


@command()
@click.option(
    "--write",
    "file",
    type=click.Path(exists=True, dir_okay=False, writable=True),
    help="Write the table between <!-- results --> and <!-- /results --> in this Markdown file.",
)
def results(file: str | None) -> None:
    """Show a table of all results.

    Columns: scores, baselines, model, training time, machine and date.
    """
    from flows.cli.results import print_results

    print_results(file)


@command()
@click.argument("recipe", type=RecipeName())
@click.argument("version", type=Integer(1, LONG))
@click.option("--reason", type=Reason(), help="Why, for the ledger.")
def promote(recipe: str, version: int, reason: str | None) -> None:
    """Make VERSION the champion of RECIPE, whatever its score."""
    from flows.events import announce
    from tasks.register.champion import promote as make_champion

    click.echo(make_champion(recipe, version, reason or ""))
    announce(recipe)


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--to", "version", type=Integer(1, LONG), help="This version instead of the champion before.")
@click.option("--reason", type=Reason(), required=True, help="Why, for the ledger.")
def rollback(recipe: str, version: int | None, reason: str) -> None:
    """Make the former champion of RECIPE champion again.

    At once, without training. Only a new, better version replaces it.
    """
    from flows.events import announce
    from tasks.register.rollback import rollback as roll_back

    click.echo(roll_back(recipe, version, reason))
    announce(recipe)


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--json", "as_json", is_flag=True, help="Print all fields as JSON.")
@click.option("--at", type=Moment(), metavar="TIME", help="Who was champion then: 2026-11-01 (its end), or ISO 8601.")
def history(recipe: str, as_json: bool, at: datetime | None) -> None:
    """Show the ledger of RECIPE: what was registered, promoted and rolled back.

    Each with its time, person, reason and verdict. Exits with code 1 if an event is missing or was changed.
    """
    from flows.cli.history import print_history

    print_history(recipe, as_json, at)


@command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True),
    help="Where to write the page; default: data/RECIPE/compare-OLD-NEW.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; writes a page only with --html.")
def compare(old: str, new: str, html: str | None, as_json: bool) -> None:
    """Show what differs from model OLD to model NEW, and whether NEW is better.

    Each is RECIPE (its champion), RECIPE@ALIAS, MODEL:VERSION, the id or name of a run, or data/RECIPE (what is here
    now). Compares settings, documents, code, packages, scores and learning curves; also writes a page.
    """
    from flows.cli.compare import compare_models

    compare_models(old, new, html, as_json)


COMMANDS = (runs, results, promote, rollback, history, compare)
