"""A whole recipe: the sections of all stages put together, and what must fit between them.

Stages do not come here; each reads its own sections. `gristmill check` does, and a flow before anything runs.
"""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.clean.settings import CleanSettings
from tasks.contract.settings import Section, read_yaml, recipe_path, validate
from tasks.evaluate.settings import METRICS, EvaluateSettings
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
    def _sections_fit_together(self) -> Self:
        if problems := [*self._lengths(), *self._splits(), *self._headline()]:
            raise ValueError("\n".join(problems))
        return self

    def _lengths(self) -> Iterator[str]:
        positions = self.model.config.get("max_position_embeddings", self.model.config.get("n_positions"))
        longest = self.train.context_length
        if isinstance(positions, int):
            if longest > positions:
                yield f"train.context_length: {longest} is more than the {positions} positions of model.config"
            if self.evaluate.generation.max_new_tokens >= positions:
                yield f"evaluate.generation.max_new_tokens: more than the {positions} positions of model.config hold"
        if self.evaluate.window > longest:
            yield f"evaluate.window: {self.evaluate.window} is more than train.context_length, {longest}: not trained"

    def _splits(self) -> Iterator[str]:
        splits = self.clean.splits
        if not (splits.validation or splits.validation_groups):
            yield "clean.splits.validation: 0 leaves nothing to validate on, and no validation_groups are named"
        if not (splits.test or splits.test_groups):
            yield "clean.splits.test: 0 leaves nothing to evaluate on, and no test_groups are named"

    def _headline(self) -> Iterator[str]:
        baselines = METRICS[self.task].get(self.promotion.metric)
        if baselines is None:
            yield f"register.metric: {self.task} is measured by {', '.join(METRICS[self.task])}"
        elif unknown := sorted(set(self.promotion.beat) - set(baselines)):
            known = ", ".join(baselines) or "none"
            yield f"register.beat: no baseline {unknown[0]!r} of {self.promotion.metric} (there are: {known})"


def load(name: str) -> Recipe:
    """The recipe `recipes/<name>.yaml`. Raises RecipeError with one line per bad key, all of them at once."""
    path = recipe_path(name)
    return validate(Recipe, read_yaml(path), path)
