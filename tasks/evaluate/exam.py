"""What is scored: a model folder on a recipe's test split. The same for the stage and for `tasks.evaluate.rescore`.

A `Scorer` per task scores the documents. It knows nothing of baselines, samples, plots and training tokens, so it also
scores a model with another tokenizer, architecture or length than the recipe's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.evaluate.split import Split
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.run import DATA
from tasks.stage.settings import recipe_path

Row = dict[str, Any]


@dataclass(frozen=True)
class Exam:
    """A model, and the text that it is scored on."""

    recipe: str
    model: Path
    """Its folder: weights, config, tokenizer, gristmill.json."""
    test: Path
    split: Split

    @property
    def base(self) -> Path:
        """The folder of the model that the recipe starts from; one without a model for a recipe from scratch."""
        return self.test.parents[1] / "base"

    def unfit(self, key: str, told: str) -> GristmillError:
        """The error for a key of the section `evaluate` that the model cannot satisfy.

        For the recipe's own model the key is wrong: RecipeError. Another model cannot be scored as the recipe says, and
        a score with other settings would not be comparable: DataError.
        """
        path = recipe_path(self.recipe)
        if self.model == DATA / self.recipe / "model":
            return RecipeError(f"{path}: {key}: {told}")
        return DataError(f"{self.model}: cannot be scored as {path} says: {key}: {told}")


class Scorer(Protocol):
    """Scores the documents of an exam. Making one loads the model and checks it against the settings and the text."""

    @property
    def columns(self) -> Mapping[str, type]:
        """Columns stored in scores.parquet after `id` and `group`."""

    def score(self) -> Iterator[tuple[Row, Any]]:
        """A row per document in corpus order, and what a baseline needs of the document. Raises DataError."""

    def metrics(self) -> dict[str, Any]:
        """The model's own metrics over all documents, counts, and the signature; complete after the last row."""


def with_baselines(metrics: Mapping[str, Any], baselines: Mapping[str, Any], before: str) -> dict[str, Any]:
    """`metrics` with those of the baselines inserted before a key."""
    place = list(metrics).index(before)
    items = list(metrics.items())
    return dict([*items[:place], *baselines.items(), *items[place:]])
