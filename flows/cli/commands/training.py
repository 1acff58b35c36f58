"""Commands that train: a run, a sweep, other seeds; and that say why one is needed."""

import sys
from typing import Any

import click

from flows.cli.parameters import DEFAULT, Integer, Number
from flows.cli.place import RecipeName, command


@command()
@click.argument("recipe", type=RecipeName(), default=DEFAULT)
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Try another setting; changes no file.")
def run(recipe: str, given: tuple[str, ...]) -> None:
    """Run the pipeline of RECIPE.

    Takes the text from its source to a registered model. Unchanged stages do not run again. With --set, which can be
    given several times, it runs beside the recipe's own model, in a run in MLflow that is never registered.
    """
    from flows.cli.run import run_recipe
    from flows.cli.tried import try_settings

    try_settings(recipe, given) if given else run_recipe(recipe)


@command()
@click.argument("recipe", type=RecipeName(), default=DEFAULT)
@click.option(
    "--over",
    "overs",
    multiple=True,
    required=True,
    metavar="KEY=…",
    help="Vary a setting: KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C; can be given several times.",
)
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="The same other setting in all trials.")
@click.option(
    "--trials", type=Integer(1), default=20, show_default=True, help="Number of trials, finished ones included."
)
@click.option("--minutes", type=Number(0, min_open=True), help="Start no trial after this time.")
@click.option("--parallel", type=Integer(1), default=1, show_default=True, help="Trials at the same time.")
@click.option("--name", help="Name of the sweep; default: from RECIPE and what it varies.")
@click.option("--seed", type=Integer(0, 2**32 - 1), default=0, show_default=True, help="Seed of the search.")
@click.option("--write", is_flag=True, help="Write the best trial's settings into the recipe.")
def sweep(recipe: str, overs: tuple[str, ...], given: tuple[str, ...], **options: Any) -> None:
    """Search settings of RECIPE with the lowest validation loss.

    Each trial is a run in MLflow that is never registered; bad ones are cut short. Stopped or killed, the same command
    goes on. Changes nothing in the project, except with --write.
    """
    from flows.cli.sweep import sweep_recipe

    sweep_recipe(recipe, overs, given, **options)


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--seeds", type=Integer(2), default=5, show_default=True, help="Number of seeds, RECIPE's own included.")
def noise(recipe: str, seeds: int) -> None:
    """Measure how far the seed alone moves the scores of RECIPE.

    Trains it again with other seeds, each a run in MLflow that is never registered, and keeps the spread for the gate.
    Seeds that are known are not trained again.
    """
    from flows.cli.noise import print_noise

    print_noise(recipe, seeds)


@command("why-stale")
@click.argument("recipe", type=RecipeName(), default=DEFAULT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a stage would run.")
def why_stale(recipe: str, as_json: bool, exit_code: bool) -> None:
    """Say why stages of RECIPE would run again.

    For each: the file, the key of the recipe, the code or the library that changed, from what to what. Runs nothing.
    """
    from flows.cli.why_stale import tell_why_stale

    if tell_why_stale(recipe, as_json) and exit_code:
        sys.exit(1)


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--cron", required=True, help='Cron expression, such as "0 2 * * *".')
@click.option("--timezone", default="UTC", show_default=True, help="IANA time zone of the schedule.")
@click.option("--pool", default="gristmill", show_default=True, help="Work pool; each workspace needs its own.")
def schedule(recipe: str, cron: str, timezone: str, pool: str) -> None:
    """Schedule RECIPE on the Prefect server in PREFECT_API_URL."""
    from flows.recipes import check as check_recipe
    from flows.schedule import schedule as deploy

    check_recipe(recipe)
    click.echo(deploy(recipe, cron, timezone, pool))


@command()
@click.argument("recipe", type=RecipeName())
def unschedule(recipe: str) -> None:
    """Remove the schedule of RECIPE from the Prefect server."""
    from flows.schedule import unschedule as delete

    click.echo(delete(recipe))


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--resume", is_flag=True, help="Run again as scheduled.")
def pause(recipe: str, resume: bool) -> None:
    """Pause the schedule of RECIPE on the Prefect server."""
    from flows.schedule import pause as stop

    click.echo(stop(recipe, resume))


COMMANDS = (run, sweep, noise, why_stale, schedule, unschedule, pause)
