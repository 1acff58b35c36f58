"""How much each source of a mixture counts in training: `weight` or `epochs` in `ingest.sources` of a recipe.

The stage `train` reads these keys alone, so that a changed weight trains again and does nothing else.
"""

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.stage.errors import RecipeError
from tasks.stage.problems import nearest
from tasks.stage.settings import Section, read_yaml, recipe_path, validate

PartName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""The name of a source: begins the ids of its documents."""
Positive = Annotated[float, Field(gt=0)]


class Weighted(Section):
    """A source of a mixture, as training sees it."""

    name: PartName
    """The name of the source, in ids, scores and tables."""
    weight: Positive | None = None
    """Its share of the training tokens, relative to the weights of the others. Default, if no source has one: its
    size; else 1."""
    epochs: Positive | None = None
    """Instead of weights: how often training reads the source while it reads the others as often as they say."""


class _Part(Weighted):
    model_config = ConfigDict(extra="ignore")


class _Parts(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    sources: tuple[_Part, ...] = ()


def shares(weights: Mapping[str, Weighted], tokens: Mapping[str, int]) -> dict[str, Fraction]:
    """The share of each source in the training tokens; `tokens`: the size of each source in the training split.

    Without weights and epochs the sizes decide.
    """
    own = [weights[name] for name in tokens]
    if any(source.weight is not None for source in own):
        amounts = [Fraction(str(source.weight or 1)) for source in own]
    else:
        amounts = [Fraction(str(source.epochs or 1)) * tokens[source.name] for source in own]
    return {name: amount / sum(amounts) for name, amount in zip(tokens, amounts, strict=True)}


def source_sections(ingest: Any) -> list[dict[str, Any]]:
    """The sources in a section `ingest` as it is written: those of a mixture, or the one; empty without any."""
    if not isinstance(ingest, dict):
        return []
    return [dict(part) for part in ingest["sources"]] if isinstance(ingest.get("sources"), list) else [ingest]


def licence_of(ingest: Any) -> str | None:
    """The licence in a section `ingest`; of a mixture those of its sources, each with its name."""
    named = [(part.get("name"), part.get("licence")) for part in source_sections(ingest) if part.get("licence")]
    if len(named) < 2:
        return str(named[0][1]) if named else None
    return ", ".join(f"{licence} ({name})" for name, licence in named)


def require_sources(named: Iterable[str], there: Collection[str], key: str) -> None:
    """Raises RecipeError for a name that is no source of the corpus; `key`: where the recipe names it."""
    for name in named:
        if name not in there:
            known = f"its sources are {', '.join(there)}{nearest(name, there)}" if there else "it is not a mixture"
            raise RecipeError(f"{key}: no source {name!r} in the corpus; {known}")


def read_weights(recipe: str) -> dict[str, Weighted]:
    """The sources of a recipe by name; empty if it is no mixture. Raises RecipeError for an invalid weight."""
    path = recipe_path(recipe)
    ingest: Any = read_yaml(path).get("ingest")
    if not isinstance(ingest, dict) or "sources" not in ingest:
        return {}
    return {part.name: part for part in validate(_Parts, ingest, path, prefix="ingest").sources}
