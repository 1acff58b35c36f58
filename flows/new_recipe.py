"""A new recipe made from another: its file, and its name under `vars.recipes` of dvc.yaml."""

import re
from pathlib import Path

from tasks.contract.errors import RecipeError
from tasks.contract.settings import NAME, RECIPES, read_yaml, recipe_path

GRAPH = Path("dvc.yaml")
LIST = re.compile(r"^(?P<indent> *)- recipes:.*\n(?:(?P=indent) {3,}.*\n| *\n)*", re.MULTILINE)


def new_recipe(name: str, like: str) -> Path:
    """Copy the recipe `like` to `name` and wire it into the graph; the path of the new file.

    Raises RecipeError where `name` is no name or is taken, `like` is missing, or dvc.yaml has no list of recipes.
    """
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r} is not a recipe name: use lower-case letters, digits and dashes")
    path, wired = RECIPES / f"{name}.yaml", wired_recipes()
    if path.exists() or name in wired:
        raise RecipeError(f"{path if path.exists() else GRAPH}: the recipe {name} is there already")
    source = recipe_path(like)
    graph = GRAPH.read_text(encoding="utf-8")
    found = LIST.search(graph)
    if found is None:
        raise RecipeError(f"{GRAPH}: vars: there is no `- recipes:` block to add {name} to")
    entry = f"{found['indent']}    {name}: {{}}\n"
    end = found.start() + len(found[0].rstrip()) + 1
    path.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    GRAPH.write_text(graph[:end] + entry + graph[end:], encoding="utf-8")
    return path


def wired_recipes() -> list[str]:
    """The recipes that dvc.yaml fans its stages out over. Raises RecipeError where it has no such list."""
    if not GRAPH.is_file():
        raise RecipeError(f"{GRAPH}: not there; run gristmill in the root of the project")
    for item in read_yaml(GRAPH).get("vars") or []:
        if isinstance(item, dict) and isinstance(item.get("recipes"), dict):
            return list(item["recipes"])
    raise RecipeError(f"{GRAPH}: vars: there is no mapping `recipes`")
