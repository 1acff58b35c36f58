"""Recipes of the toy project; any settings are valid."""

from types import SimpleNamespace

from tasks.stage.settings import recipe_path


def load(name: str) -> SimpleNamespace:
    """A recipe without local texts and without a base. Raises RecipeError if it does not exist."""
    recipe_path(name)
    source = SimpleNamespace(root=SimpleNamespace(local_paths=list, locate=lambda bench: None))
    nothing = SimpleNamespace(contamination=None)
    own = SimpleNamespace(template_file=None)
    return SimpleNamespace(
        ingest=source, clean=nothing, model=SimpleNamespace(init=None), tokenize=own, has_sources=False
    )


def bench_of(name: str) -> None:
    """Nothing to look at."""
