"""A whole recipe: the sections of all stages put together, and what must fit between them.

Stages do not come here; each reads its own sections. `gristmill check` does, and a flow before anything runs.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.clean.settings import CleanSettings
from tasks.contract.settings import Section, read_yaml, recipe_path, validate
from tasks.evaluate.settings import EvaluateSettings
from tasks.ingest.settings import IngestSettings
from tasks.register.settings import RegisterSettings
from tasks.tokenize.settings import TokenizeSettings
from tasks.train.settings import ModelSettings, TrainSettings
from tasks.validate.settings import ValidateSettings


class Recipe(Section):
    """`recipes/<name>.yaml`: everything that changes the result, in a section per stage.

    DVC wants to find every section that a stage depends on; one that is all defaults is written `clean: {}`.
    """

    task: Literal["causal-lm"]
    description: str = Field(min_length=1)
    ingest: IngestSettings
    expectations: ValidateSettings = Field(alias="validate")
    clean: CleanSettings
    tokenize: TokenizeSettings
    model: ModelSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    promotion: RegisterSettings = Field(alias="register")

    @model_validator(mode="after")
    def _windows_fit_the_model(self) -> Self:
        positions = self.model.config.get("max_position_embeddings", self.model.config.get("n_positions"))
        lengths = {"train.context_length": self.train.context_length, "evaluate.window": self.evaluate.window}
        for key, length in lengths.items():
            if isinstance(positions, int) and length > positions:
                raise ValueError(f"{key}: {length} is more than the {positions} positions of model.config")
        return self


def load(name: str) -> Recipe:
    """The recipe `recipes/<name>.yaml`. Raises RecipeError with one line per bad key, all of them at once."""
    path = recipe_path(name)
    return validate(Recipe, read_yaml(path), path)
