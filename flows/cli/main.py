"""The `gristmill` command, and how its errors are told.

Commands import what they need when they run, so that help and errors appear at once.
"""

import sys
from contextlib import suppress
from typing import Any

import click

from flows.cli.commands import asking, champions, proof, recipes, training
from flows.cli.place import Command
from flows.configured import bad_setting, home_of_prefect
from flows.stop import Stopped, stoppable
from tasks.stage.errors import EXIT_USER, GristmillError
from tasks.stage.machine import refusal
from tasks.stage.runtime import keep_loopback_direct, switch_off_telemetry

OTHER_WORDS = {
    "revert": "rollback", "undo": "rollback", "log": "history", "ledger": "history",
    "list": "recipes", "ls": "recipes", "show": "recipes", "models": "recipes", "remove": "rm", "delete": "rm",
    "rename": "mv", "move": "mv", "copy": "new", "cp": "new", "create": "new", "train": "run", "start": "run",
    "validate": "check", "lint": "check", "metrics": "results", "help": "--help", "version": "--version",
}  # fmt: skip
"""What others call our commands."""


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


for _room in (training, asking, champions, proof, recipes):
    for _command in _room.COMMANDS:
        main.add_command(_command)
