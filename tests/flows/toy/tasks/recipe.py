"""The recipes of the toy project: any settings will do."""

from types import SimpleNamespace

from tasks.stage.settings import recipe_path


def load(name: str) -> SimpleNamespace:
    """A recipe without texts of its own and without a base. Raises RecipeError where there is none."""
    recipe_path(name)
    source = SimpleNamespace(root=SimpleNamespace(local_paths=list))
    nothing = SimpleNamespace(contamination=None)
    return SimpleNamespace(ingest=source, clean=nothing, model=SimpleNamespace(init=None))
