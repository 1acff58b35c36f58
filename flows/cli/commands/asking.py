"""Commands that ask a champion."""

import click

from flows.cli.parameters import LONG, Integer, Number
from flows.cli.place import RecipeName, command

VARIANT = click.option("--variant", metavar="NAME", help="Ask a smaller variant of it, from the section `compress`.")


@command()
@click.argument("recipe", type=RecipeName())
@click.argument("prompt")
@VARIANT
@click.option("--max-new-tokens", type=Integer(1, LONG), help="Maximum number of new tokens.")
@click.option("--temperature", type=Number(0), help="0 always picks the most likely token.")
@click.option("--top-k", type=Integer(0, LONG), help="Sample from the k most likely tokens; 0 means all.")
@click.option("--seed", type=Integer(0, LONG), help="Random seed; the same seed gives the same text.")
def generate(recipe: str, prompt: str, variant: str | None, **given: float | None) -> None:
    """Continue PROMPT with the champion of RECIPE, a causal model.

    Defaults come from evaluate.generation in the recipe.
    """
    from tasks.register.predict import generate as continue_text

    parameters = {name: value for name, value in given.items() if value is not None}
    click.echo(continue_text(recipe, prompt, variant, **parameters))


@command()
@click.argument("recipe", type=RecipeName())
@click.argument("text", nargs=-1)
@VARIANT
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
    recipe: str,
    text: tuple[str, ...],
    variant: str | None,
    file: str | None,
    column: str | None,
    as_json: bool,
    given: tuple[str, ...],
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
    answer(recipe, read_texts(text, file, column, chats), given, as_json, variant)


@command()
@click.argument("recipe", type=RecipeName())
@VARIANT
@click.option("--system", metavar="TEXT", help="The system prompt.")
@click.option("--max-new-tokens", type=Integer(1, LONG), help="Maximum number of tokens of an answer.")
@click.option("--temperature", type=Number(0), help="0 always picks the most likely token.")
@click.option("--top-k", type=Integer(0, LONG), help="Sample from the k most likely tokens; 0 means all.")
@click.option("--top-p", type=Number(0, 1), help="Sample from the most likely tokens with this total probability.")
@click.option("--seed", type=Integer(0, LONG), help="Random seed; the same seed gives the same answers.")
def chat(recipe: str, variant: str | None, system: str | None, **given: float | None) -> None:
    """Talk with the champion of RECIPE, a chat model.

    Answers appear while they are written; /help lists the commands. Without a terminal, answers each line of standard
    input. Defaults come from evaluate.generation in the recipe.
    """
    from flows.cli.chat import chat as talk

    talk(recipe, system, given, variant)


COMMANDS = (generate, predict, chat)
