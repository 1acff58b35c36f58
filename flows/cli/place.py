"""Where a command runs, and which recipe it means: as `git` does, commands work in any folder of the project, and a
recipe is also its file."""

import os
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
        return super().invoke(ctx)


class RecipeName(click.ParamType):
    """The name of a recipe, or its file: `shakespeare`, `shakespeare.yaml`, `recipes/shakespeare.yaml`."""

    name = "recipe"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Raises RecipeError for a file that is not in recipes/."""
        from tasks.stage.settings import RECIPES

        path, here = Path(str(value)), Path.cwd()
        if len(path.parts) == 1 and path.suffix not in (".yaml", ".yml"):
            return str(value)
        if len(path.parts) > 1 and (here / path).parent.resolve() != (_root(here) / RECIPES).resolve():
            raise RecipeError(f"{value}: not in the folder {RECIPES} of this project; move it there")
        return path.stem


def _root(here: Path) -> Path:
    """The nearest folder with dvc.yaml and recipes/; `here` outside a project."""
    from tasks.stage.settings import RECIPES

    folders = (here, *here.parents)
    return next((folder for folder in folders if (folder / "dvc.yaml").is_file() and (folder / RECIPES).is_dir()), here)
