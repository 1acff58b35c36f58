"""The recipes of the toy project: any settings will do."""

from pathlib import Path

from tasks.contract.settings import recipe_path


def load(name: str) -> Path:
    """The file of a recipe. Raises RecipeError where there is none."""
    return recipe_path(name)
