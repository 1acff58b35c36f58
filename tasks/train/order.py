"""What a recipe asks of a training: its sections `task`, `model` and `train`, and the weights of a mixture."""

from dataclasses import dataclass
from typing import Any

from tasks.formats.mixture import Weighted, read_weights
from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import read_task
from tasks.train.settings import (
    SETTINGS,
    BucketTraining,
    ChatTraining,
    ModelSettings,
    PackedTraining,
    PreferenceTraining,
    problems,
)

Training = PackedTraining | BucketTraining | ChatTraining | PreferenceTraining


@dataclass(frozen=True)
class Order:
    """The validated sections of the recipe."""

    where: str
    task: str
    model: ModelSettings
    train: Training
    weights: dict[str, Weighted]
    """The sources of a mixture; empty for one source."""

    def resolved(self) -> dict[str, Any]:
        """As JSON values, defaults included; the weights of a mixture's sources if it has some."""
        model, train = self.model.model_dump(mode="json"), self.train.model_dump(mode="json")
        sources = [source.model_dump(mode="json", exclude_none=True) for source in self.weights.values()]
        mixture = {"sources": sources} if any(len(source) > 1 for source in sources) else {}
        return {"task": self.task, "model": model, "train": train, **mixture}


def read_order(recipe: str) -> Order:
    """Read the recipe's sections. Raises RecipeError if one is invalid or does not fit the task."""
    where, task = str(recipe_path(recipe)), read_task(recipe)
    model = read_section(recipe, "model", ModelSettings)
    settings = read_section(recipe, "train", SETTINGS[task])
    if found := list(problems(task, model, settings)):
        raise RecipeError("\n".join(f"{where}: {problem}" for problem in found))
    return Order(where, task, model, settings, read_weights(recipe))
