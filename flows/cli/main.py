"""The `gristmill` command. Commands import what they need when they run, so that help and errors appear at once."""

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from flows.cli.parameters import Moment, Reason
from flows.cli.place import Command, RecipeName
from flows.configured import bad_setting, home_of_prefect
from flows.stop import Stopped, stoppable
from tasks.stage.errors import EXIT_USER, GristmillError
from tasks.stage.machine import refusal
from tasks.stage.runtime import keep_loopback_direct, switch_off_telemetry

DEFAULT = "shakespeare"
LONG = 2**63 - 1
"""The largest integer that a model accepts as a parameter."""


OTHER_WORDS = {
    "revert": "rollback", "undo": "rollback", "log": "history", "ledger": "history",
    "list": "recipes", "ls": "recipes", "show": "recipes", "models": "recipes", "remove": "rm", "delete": "rm",
    "rename": "mv", "move": "mv", "copy": "new", "cp": "new", "create": "new", "train": "run", "start": "run",
    "validate": "check", "lint": "check", "metrics": "results", "help": "--help", "version": "--version",
}  # fmt: skip
"""What others call our commands."""


class Integer(click.IntRange):
    """An integer in a range, which errors call what it is."""

    name = "integer"


class Number(click.FloatRange):
    """A number in a range, which errors call what it is."""

    name = "number"


class Target(click.ParamType):
    """A folder, or the name of a model in MLflow."""

    name = "folder or model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """An absolute path for a folder, since the command moves to the root of a project."""
        path = Path(str(value))
        return path.absolute() if path.exists() or len(path.parts) > 1 else str(value)


class _Commands(click.Group):
    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Also knows the words of other tools, and other cases. Raises UsageError for an unknown command."""
        word = args[0].lower()
        meant = OTHER_WORDS.get(word) or (word if word in self.commands and word != args[0] else None)
        if meant is not None:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Print a command's errors as sentences on stderr and exit with their exit code."""
        try:
            with stoppable():
                return super().invoke(ctx)
        except (GristmillError, Stopped) as error:
            sentence, code = str(error), error.exit_code
        except Exception as error:
            if (refused := bad_setting(error) or refusal(error)) is None:
                raise
            sentence, code = str(refused), EXIT_USER
        with suppress(BrokenPipeError):  # nobody reads it
            click.echo(sentence, err=True)
        sys.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gristmill")
def main() -> None:
    """Turn raw text into an evaluated, registered language model.

    Each model has a recipe, recipes/RECIPE.yaml. Run commands in the project's folder.
    """
    switch_off_telemetry()
    keep_loopback_direct()
    home_of_prefect()


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
def recipes() -> None:
    """List recipes with their champions and scores."""
    from flows.cli.tables import print_recipes

    print_recipes()


@main.command()
@click.argument("recipe", type=RecipeName(), default=DEFAULT)
def profile(recipe: str) -> None:
    """Describe the cleaned corpus of RECIPE.

    Shows sizes, languages, lengths and what was dropped. Cleans the corpus first if necessary; trains nothing. Also
    writes a page with charts, data/RECIPE/profile.html.
    """
    from flows.cli.profile import profile_recipe

    click.echo(f"page with charts: {profile_recipe(recipe)}")


@main.command()
@click.argument("recipe", type=RecipeName())
@click.argument("prompt")
@click.option("--max-new-tokens", type=Integer(1, LONG), help="Maximum number of new tokens.")
@click.option("--temperature", type=Number(0), help="0 always picks the most likely token.")
@click.option("--top-k", type=Integer(0, LONG), help="Sample from the k most likely tokens; 0 means all.")
@click.option("--seed", type=Integer(0, LONG), help="Random seed; the same seed gives the same text.")
def generate(recipe: str, prompt: str, **given: float | None) -> None:
    """Continue PROMPT with the champion of RECIPE, a causal model.

    Defaults come from evaluate.generation in the recipe.
    """
    from tasks.register.predict import generate as continue_text

    click.echo(continue_text(recipe, prompt, **{name: value for name, value in given.items() if value is not None}))


@main.command()
@click.argument("recipe", type=RecipeName())
@click.argument("text", nargs=-1)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read one input per line; `-` is standard input.",
)
@click.option("--column", help="Lines are JSON objects; read this column (for *.jsonl the default is `text`).")
@click.option("--json", "as_json", is_flag=True, help="Print the full output, one JSON object per line.")
@click.option(
    "--param", "given", multiple=True, metavar="NAME=VALUE", help="Set a model parameter; an unknown NAME lists all."
)
def predict(
    recipe: str, text: tuple[str, ...], file: str | None, column: str | None, as_json: bool, given: tuple[str, ...]
) -> None:
    """Run the champion of RECIPE on each TEXT.

    Prints one line per text, in order: the translation, the summary, the label with its probability, the text with its
    masks filled, the continued text, or the answer to a question. Without TEXT, reads one text per line from standard
    input. For a chat model, the column `messages` of JSON Lines holds conversations.
    """
    from flows.cli.predict import predict as answer
    from flows.cli.predict import read_texts
    from tasks.stage.task import CHATS, read_task

    chats = file is not None and file.endswith(".jsonl") and read_task(recipe) in CHATS
    answer(recipe, read_texts(text, file, column, chats), given, as_json)


@main.command()
@click.argument("recipe", type=RecipeName())
@click.option("--system", metavar="TEXT", help="The system prompt.")
@click.option("--max-new-tokens", type=Integer(1, LONG), help="Maximum number of tokens of an answer.")
@click.option("--temperature", type=Number(0), help="0 always picks the most likely token.")
@click.option("--top-k", type=Integer(0, LONG), help="Sample from the k most likely tokens; 0 means all.")
@click.option("--top-p", type=Number(0, 1), help="Sample from the most likely tokens with this total probability.")
@click.option("--seed", type=Integer(0, LONG), help="Random seed; the same seed gives the same answers.")
def chat(recipe: str, system: str | None, **given: float | None) -> None:
    """Talk with the champion of RECIPE, a chat model.

    Answers appear while they are written; /help lists the commands. Without a terminal, answers each line of standard
    input. Defaults come from evaluate.generation in the recipe.
    """
    from flows.cli.chat import chat as talk

    talk(recipe, system, given)


@main.command()
@click.argument("recipe", type=RecipeName(), required=False)
def runs(recipe: str | None) -> None:
    """List MLflow runs of RECIPE (default: all), best first."""
    from flows.cli.tables import print_runs

    print_runs(recipe)


@main.command()
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


@main.command()
@click.argument("recipe", type=RecipeName())
@click.argument("version", type=Integer(1, LONG))
@click.option("--reason", type=Reason(), help="Why, for the ledger.")
def promote(recipe: str, version: int, reason: str | None) -> None:
    """Make VERSION the champion of RECIPE, whatever its score."""
    from flows.events import announce
    from tasks.register.champion import promote as make_champion

    click.echo(make_champion(recipe, version, reason or ""))
    announce(recipe)


@main.command()
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


@main.command()
@click.argument("recipe", type=RecipeName())
@click.option("--json", "as_json", is_flag=True, help="Print all fields as JSON.")
@click.option("--at", type=Moment(), metavar="TIME", help="Who was champion then: 2026-11-01 (its end), or ISO 8601.")
def history(recipe: str, as_json: bool, at: datetime | None) -> None:
    """Show the ledger of RECIPE: what was registered, promoted and rolled back.

    Each with its time, person, reason and verdict. Exits with code 1 if an event is missing or was changed.
    """
    from flows.cli.history import print_history

    print_history(recipe, as_json, at)


@main.command()
@click.argument("recipe", type=RecipeName())
@click.option("--seeds", type=Integer(2), default=5, show_default=True, help="Number of seeds, RECIPE's own included.")
def noise(recipe: str, seeds: int) -> None:
    """Measure how far the seed alone moves the scores of RECIPE.

    Trains it again with other seeds, each a run in MLflow that is never registered, and keeps the spread for the gate.
    Seeds that are known are not trained again.
    """
    from flows.cli.noise import print_noise

    print_noise(recipe, seeds)


@main.command()
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


@main.command("why-stale")
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


@main.command()
@click.argument("folder", type=click.Path())
@click.option("--passphrase", is_flag=True, help="Encrypt the private key; asks for a passphrase.")
def keys(folder: str, passphrase: bool) -> None:
    """Make a key pair in a new FOLDER outside the project.

    The private key signs with `gristmill attest`; whoever has the public key can verify.
    """
    from flows.cli.attest import make_keys

    make_keys(folder, passphrase)


@main.command()
@click.argument("model")
@click.option("--key", required=True, type=click.Path(), help="The private key; see `gristmill keys`.")
@click.option("--out", type=click.Path(), help="Also write the model with its attestation into this new folder.")
def attest(model: str, key: str, out: str | None) -> None:
    """Sign how MODEL was made: RECIPE, RECIPE@ALIAS or MODEL:VERSION.

    Hashes all inputs and outputs of its stages again, compares them with dvc.lock, and signs them together with the
    model and a list of its data sets and libraries. Keeps the result with the version in MLflow.
    """
    from flows.cli.attest import attest_model

    attest_model(model, key, out)


@main.command()
@click.argument("target", metavar="FOLDER|MODEL", type=Target())
@click.option("--key", required=True, type=click.Path(), help="The public key of who signed.")
def verify(target: Any, key: str) -> None:
    """Check an attested model, in a FOLDER or in MLflow.

    Needs no project and no network for a folder. Names every file that was changed, added or removed, and exits with
    code 1 if anything does not hold.
    """
    from flows.cli.attest import verify_target

    verify_target(target, key)


@main.command()
@click.argument("run")
@click.option("--stages", metavar="STAGE,…", help="Only these stages.")
@click.option("--from", "start", metavar="STAGE", help="This stage and all after it.")
@click.option("--steps", type=Integer(1, LONG), help="Only the first steps of the training, against its history.")
@click.option("--tolerance", type=Number(0), help="Relative difference of numbers that counts as the same.")
@click.option("--keep", is_flag=True, help="Keep the work tree and the outputs.")
def reproduce(
    run: str, stages: str | None, start: str | None, steps: int | None, tolerance: float | None, keep: bool
) -> None:
    """Rebuild RUN in a clean work tree and compare every byte.

    RUN is RECIPE (its champion), RECIPE@ALIAS, MODEL:VERSION, or the id or name of a run. Exits with 0 if all stages
    give the same bytes, 1 if one differs, 2 or 75 if one cannot be told. The verdict is also written to the run.
    """
    from flows.cli.reproduce import reproduce_run

    reproduce_run(run, stages, start, steps, tolerance, keep)


@main.command()
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


@main.command()
@click.argument("recipe", type=RecipeName())
def unschedule(recipe: str) -> None:
    """Remove the schedule of RECIPE from the Prefect server."""
    from flows.schedule import unschedule as delete

    click.echo(delete(recipe))


@main.command()
@click.argument("recipe", type=RecipeName())
@click.option("--resume", is_flag=True, help="Run again as scheduled.")
def pause(recipe: str, resume: bool) -> None:
    """Pause the schedule of RECIPE on the Prefect server."""
    from flows.schedule import pause as stop

    click.echo(stop(recipe, resume))


@main.command()
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


@main.command()
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


@main.command()
@click.argument("name", type=RecipeName())
@click.option("--like", type=RecipeName(), required=True, metavar="RECIPE", help="The recipe to copy.")
def new(name: str, like: str) -> None:
    """Create the recipe NAME as a copy of another one.

    Also adds it to dvc.yaml.
    """
    from flows.rewire import new_recipe

    path = new_recipe(name, like)
    click.echo(f"{path}: a copy of {like}, added to dvc.yaml; edit it, then run: gristmill check {name}")


@main.command()
def schema() -> None:
    """Write the reference of all recipe keys.

    Writes recipes/schema.json for editors and docs/recipe.md to read.
    """
    from flows.cli.schema import write_schema

    for written in write_schema():
        click.echo(written)
