"""The `gristmill` command. Each command imports what it needs when it runs, so that help and errors come at once."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from tasks.stage.errors import EXIT_USER, GristmillError
from tasks.stage.runtime import switch_off_telemetry

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT = "shakespeare"
LONG = 2**63 - 1
"""The largest whole number that a model takes as a parameter."""


def sentences(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are sentences on the error stream, with the exit code of the error."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GristmillError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_code)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gristmill")
def main() -> None:
    """From raw text to an evaluated, registered language model, the same way every time.

    A model is described by recipes/RECIPE.yaml. Run the command in the root of the project.
    """
    switch_off_telemetry()


@main.command()
@click.argument("recipe", default=DEFAULT)
@sentences
def run(recipe: str) -> None:
    """Take RECIPE from its source to a registered model; what is unchanged does not run again."""
    from flows.cli.run import run_recipe

    run_recipe(recipe)


@main.command()
@click.argument("recipe", nargs=-1)
@sentences
def check(recipe: tuple[str, ...]) -> None:
    """Find all errors of recipes (default: of all) before anything runs; exit code 2 if there are any."""
    from flows.recipes import check as check_recipe
    from flows.recipes import listed_recipes
    from tasks.stage.settings import RECIPES

    names = recipe or tuple(sorted({path.stem for path in RECIPES.glob("*.yaml")} | set(listed_recipes())))
    problems = []
    for name in names:
        try:
            check_recipe(name)
        except GristmillError as error:
            problems.append(str(error))
    if problems:
        click.echo("\n".join(problems), err=True)
        sys.exit(EXIT_USER)
    click.echo("\n".join(f"{name}: good" for name in names))


@main.command()
@sentences
def recipes() -> None:
    """List what there is: task, model, source, champion and its headline metric."""
    from flows.cli.tables import print_recipes

    print_recipes()


@main.command()
@click.argument("recipe", default=DEFAULT)
@sentences
def profile(recipe: str) -> None:
    """Clean the corpus of RECIPE, if that is not done, and say what it is: sizes, languages, lengths, what was dropped.

    Trains nothing. The same as a page to look at is written to data/RECIPE/profile.html.
    """
    from flows.cli.profile import profile_recipe

    click.echo(f"the same with pictures: {profile_recipe(recipe)}")


@main.command()
@click.argument("recipe")
@click.argument("prompt")
@click.option("--max-new-tokens", type=click.IntRange(1, LONG), help="Tokens to write.")
@click.option("--temperature", type=click.FloatRange(0), help="0: the likeliest token.")
@click.option("--top-k", type=click.IntRange(0, LONG), help="Draw from the k likeliest; 0: all.")
@click.option("--seed", type=click.IntRange(0, LONG), help="The same seed, the same text.")
@sentences
def generate(recipe: str, prompt: str, **given: float | None) -> None:
    """Continue PROMPT with the registered champion of RECIPE, a causal model.

    What is not given is as in evaluate.generation of the recipe.
    """
    from tasks.register.predict import generate as continue_text

    click.echo(continue_text(recipe, prompt, **{name: value for name, value in given.items() if value is not None}))


@main.command()
@click.argument("recipe")
@click.argument("text", nargs=-1)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Take a text from each line of it; `-` is standard input.",
)
@click.option("--column", help="Lines are JSON objects with the text in this column (default of *.jsonl: text).")
@click.option("--json", "as_json", is_flag=True, help="All that the model says, as a JSON object a line.")
@click.option(
    "--param", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the model; an unknown one lists them."
)
@sentences
def predict(
    recipe: str, text: tuple[str, ...], file: str | None, column: str | None, as_json: bool, given: tuple[str, ...]
) -> None:
    """Translate, summarize, classify, fill or continue each TEXT with the registered champion of RECIPE.

    A line for each text, in their order: the translation, the summary, the text with its masks filled, label and
    probability, or the text continued. Without a TEXT they are read from a pipe, one a line.
    """
    from flows.cli.predict import predict as answer
    from flows.cli.predict import read_texts

    answer(recipe, read_texts(text, file, column), given, as_json)


@main.command()
@click.argument("recipe", required=False)
@sentences
def runs(recipe: str | None) -> None:
    """List the runs of RECIPE (default: of all) from MLflow, the best first."""
    from flows.cli.tables import print_runs

    print_runs(recipe)


@main.command()
@click.option(
    "--write",
    "file",
    type=click.Path(exists=True, dir_okay=False, writable=True),
    help="Put the table between <!-- results --> and <!-- /results --> of this Markdown file.",
)
@sentences
def results(file: str | None) -> None:
    """What all recipes came to: scores beside baselines, model, training time, machine and date."""
    from flows.cli.results import print_results

    print_results(file)


@main.command()
@click.argument("recipe")
@click.argument("version", type=click.IntRange(1))
@sentences
def promote(recipe: str, version: int) -> None:
    """Make VERSION of RECIPE's registered model its champion, whatever its score."""
    from tasks.register.champion import promote as make_champion

    click.echo(make_champion(recipe, version))


@main.command()
@click.argument("recipe")
@click.option("--cron", required=True, help='When, as in crontab(5): "0 2 * * *".')
@click.option("--timezone", default="UTC", show_default=True, help="Of the schedule, as in the IANA database.")
@click.option("--pool", default="gristmill", show_default=True, help="Work pool; each workspace needs its own.")
@sentences
def schedule(recipe: str, cron: str, timezone: str, pool: str) -> None:
    """Deploy RECIPE with a schedule on the configured Prefect server (PREFECT_API_URL)."""
    from flows.recipes import check as check_recipe
    from flows.schedule import schedule as deploy

    check_recipe(recipe)
    click.echo(deploy(recipe, cron, timezone, pool))


@main.command()
@click.argument("name")
@click.option("--like", required=True, metavar="RECIPE", help="The recipe to start from.")
@sentences
def new(name: str, like: str) -> None:
    """Make the recipe NAME from another one and wire it into dvc.yaml."""
    from flows.recipes import new_recipe

    path: Path = new_recipe(name, like)
    click.echo(f"{path}: a copy of {like}, wired into dvc.yaml; edit it, then: gristmill check {name}")
