"""Commands about recipes and their text."""

import sys

import click

from flows.cli.parameters import DEFAULT
from flows.cli.place import RecipeName, command
from tasks.stage.errors import EXIT_USER, GristmillError


@command()
def recipes() -> None:
    """List recipes with their champions and scores."""
    from flows.cli.tables import print_recipes

    print_recipes()


@command()
@click.argument("recipe", type=RecipeName(), nargs=-1)
def check(recipe: tuple[str, ...]) -> None:
    """Check recipes (default: all) without running them.

    Reports every error at once and exits with code 2 if there are any.
    """
    from flows.recipes import check as check_recipe
    from flows.recipes import listed_recipes
    from tasks.stage.settings import known_recipes, misnamed

    names = recipe or tuple(sorted({*known_recipes(), *listed_recipes()}))
    problems = [] if recipe else list(misnamed().values())
    for name in names:
        try:
            check_recipe(name)
        except GristmillError as error:
            problems.append(str(error))
    if problems:
        click.echo("\n".join(problems), err=True)
        sys.exit(EXIT_USER)
    click.echo("\n".join(f"{name}: good" for name in names))


@command()
@click.argument("recipe", type=RecipeName(), default=DEFAULT)
def profile(recipe: str) -> None:
    """Describe the cleaned corpus of RECIPE.

    Shows sizes, languages, lengths and what was dropped. Cleans the corpus first if necessary; trains nothing. Also
    writes a page with charts, data/RECIPE/profile.html.
    """
    from flows.cli.profile import profile_recipe

    click.echo(f"page with charts: {profile_recipe(recipe)}")


@command()
@click.argument("name", type=RecipeName())
@click.option("--like", type=RecipeName(), required=True, metavar="RECIPE", help="The recipe to copy.")
def new(name: str, like: str) -> None:
    """Create the recipe NAME as a copy of another one.

    Also adds it to dvc.yaml.
    """
    from flows.rewire import new_recipe

    path = new_recipe(name, like)
    click.echo(f"{path}: a copy of {like}, added to dvc.yaml; edit it, then run: gristmill check {name}")


@command()
@click.argument("recipe", type=RecipeName())
@click.argument("name", type=RecipeName())
def mv(recipe: str, name: str) -> None:
    """Rename RECIPE to NAME.

    Renames its file, its line in dvc.yaml, its stages in dvc.lock and its folder in data/, so that no stage runs again.
    The record in MLflow and a schedule keep the old name.
    """
    from flows.rewire import rename_recipe

    click.echo(f"renamed {recipe} to {name}: {', '.join(rename_recipe(recipe, name))}")
    click.echo(f"`gristmill run {name}` registers its model as {name}; the record of {recipe} in MLflow stays")
    click.echo(f"if {recipe} was scheduled: gristmill unschedule {recipe}, then gristmill schedule {name} --cron …")


@command()
@click.argument("recipe", type=RecipeName())
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(recipe: str, yes: bool) -> None:
    """Remove RECIPE and its data.

    Removes its file, its line in dvc.yaml, its stages in dvc.lock and data/RECIPE. DVC's cache, the record in MLflow
    and a schedule stay.
    """
    from flows.rewire import removal, remove_recipe

    if not yes:
        click.confirm(f"remove {', '.join(removal(recipe))}?", abort=True)
    click.echo(f"removed {', '.join(remove_recipe(recipe))}")


@command()
def schema() -> None:
    """Write the reference of all recipe keys.

    Writes recipes/schema.json for editors and docs/recipe.md to read.
    """
    from flows.cli.schema import write_schema

    for written in write_schema():
        click.echo(written)


COMMANDS = (recipes, check, profile, new, mv, rm, schema)
