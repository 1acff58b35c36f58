"""Where a command runs, and which recipe it means: as `git` does, commands work in any folder of the project, and a
recipe is also its file."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tasks.stage.errors import RecipeError


class Command(click.Command):
    """A command that runs in the root of the project around the working directory."""

    def invoke(self, ctx: click.Context) -> Any:
        """Enter the root; paths on the command line still mean files of the folder in which it was typed."""
        here = Path.cwd()
        root = _root(here)
        if root != here:
            for parameter in self.params:
                name, given = str(parameter.name), ctx.params.get(str(parameter.name))
                if isinstance(parameter.type, click.Path) and given not in (None, "-"):
                    ctx.params[name] = str(here / given)
            os.chdir(root)
        self._require_names(ctx)
        return super().invoke(ctx)

    def _require_names(self, ctx: click.Context) -> None:
        from tasks.stage.settings import require_name

        for parameter in self.params:
            given = ctx.params.get(str(parameter.name))
            for name in given if isinstance(given, tuple) else (given,):
                if isinstance(parameter.type, RecipeName) and name is not None:
                    require_name(name)


class RecipeName(click.ParamType):
    """The name of a recipe, or its file: `shakespeare`, `shakespeare.yaml`, `recipes/shakespeare.yaml`."""

    name = "recipe"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Raises RecipeError for a file that is not in recipes/."""
        from tasks.stage.settings import RECIPES

        path, here = Path(str(value)), Path.cwd()
        inside, is_file = len(path.parts) > 1, path.suffix.lower() in (".yaml", ".yml")
        if inside and (here / path).parent.resolve() != (_root(here) / RECIPES).resolve():
            raise RecipeError(f"{value}: not in the folder {RECIPES} of this project; move it there")
        if inside and path.suffix and not is_file:
            raise RecipeError(f"{value}: not a recipe: recipes end in .yaml")
        return path.stem if is_file else path.name if inside else str(value)


def way_here() -> dict[str, str]:
    """The commands without which those that we print do not work in the user's shell, each with its reason."""
    typed, active, root = os.environ.get("PWD"), os.environ.get("VIRTUAL_ENV"), Path.cwd()
    found = {}
    if typed and Path(typed).resolve() != root:
        found[f"cd {shlex.quote(str(root))}"] = "the folder for these commands"
    script = Path(sys.prefix, "bin", "activate")
    if script.is_file() and (not active or Path(active).resolve() != Path(sys.prefix).resolve()):
        script = script.relative_to(root) if script.is_relative_to(root) else script
        found[f"source {shlex.quote(str(script))}"] = "once per shell: puts these commands on the path"
    return found


def _root(here: Path) -> Path:
    """The nearest folder with dvc.yaml and recipes/; `here` outside a project."""
    from tasks.stage.settings import RECIPES

    folders = (here, *here.parents)
    return next((folder for folder in folders if (folder / "dvc.yaml").is_file() and (folder / RECIPES).is_dir()), here)


def command(name: str | None = None) -> Callable[[Callable[..., None]], Command]:
    """Make a function a `Command`; its name is the command's."""
    return click.command(name, cls=Command)
