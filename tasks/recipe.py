"""A whole recipe: the sections of all stages, and the constraints between them.

Stages never import this; each reads its own sections. `gristmill check` does, and so does a flow before it starts.
"""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, create_model, model_validator

from tasks.clean.settings import CleanSettings
from tasks.compress.settings import CompressSettings
from tasks.evaluate.settings import SETTINGS as EVALUATION
from tasks.evaluate.settings import (
    CausalEvaluateSettings,
    ChatEvaluateSettings,
    PairEvaluateSettings,
    PreferenceEvaluateSettings,
)
from tasks.export.settings import ExportSettings
from tasks.ingest.mixture import Mixture
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import Bench
from tasks.register.settings import RegisterSettings
from tasks.register.settings import problems as register_problems
from tasks.stage.problems import nearest
from tasks.stage.run import DATA
from tasks.stage.settings import Section, read_yaml, recipe_path, validate
from tasks.stage.task import CHATS, PAIRS, TASKS, Task, is_causal, read_task
from tasks.tokenize.settings import TokenizeSettings
from tasks.train.catalogue import architecture_problem, is_encoder_decoder
from tasks.train.settings import SETTINGS as TRAINING
from tasks.train.settings import ModelSettings, PairTraining, TrainSettings
from tasks.train.settings import problems as train_problems
from tasks.validate.settings import ValidateSettings


class Recipe(Section):
    """`recipes/<name>.yaml`: everything that changes the result, one section per stage.

    DVC needs every section that a stage depends on; write one with only defaults as `clean: {}`. The keys of `train`
    and `evaluate` depend on the task.
    """

    task: Task
    """The model family; it decides which keys `train` and `evaluate` have."""
    description: str = Field(min_length=1)
    """One line for tables and the model card."""
    ingest: IngestSettings
    """Where the text comes from, and what counts as a document."""
    expectations: ValidateSettings = Field(alias="validate")
    """Checks that the documents must pass before anything else runs."""
    clean: CleanSettings
    """How texts are rewritten, which documents are dropped, and how the rest is split."""
    tokenize: TokenizeSettings
    """How the vocabulary is built."""
    model: ModelSettings
    """The architecture, or the pretrained model to start from."""
    train: TrainSettings
    """Training length, batches, optimizer, schedule and checkpoints."""
    evaluate: Section
    """How the model is scored on the test split, and which samples are drawn."""
    compress: CompressSettings = CompressSettings({})
    """Smaller variants of the model, each scored as the model is. None by default."""
    export: ExportSettings = ExportSettings()
    """Files of the model for other runtimes, compared with PyTorch. None by default."""
    promotion: RegisterSettings = Field(alias="register")
    """The registered name, and what a model must score to become champion."""

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        fitting = train_problems(self.task, self.model, self.train)
        parts = (
            self._source(),
            self._mixture(),
            self._vocabulary(),
            fitting,
            self._lengths(),
            self._splits(),
            self._headline(),
        )
        if problems := [problem for part in parts for problem in part]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def has_sources(self) -> bool:
        """Whether it is a mixture."""
        return isinstance(self.ingest.root, Mixture)

    def _source(self) -> Iterator[str]:
        source = self.ingest.root
        yield from (f"ingest.{problem}" for problem in source.problems(self.task))
        if "messages" in source.stored():
            yield from (f"clean.{problem}" for problem in self.clean.not_for_conversations())
        for column in ("target", "label", "messages", "rejected"):
            if column not in source.stored():
                no = f"the documents of this source have no {column}; remove this"
                yield from (f"clean.{key}: {no} key" for key in self.clean.keys_about(column))
                for name, own in self.clean.sources.items():
                    about = self.clean.of(name).keys_about(column)
                    yield from (f"clean.sources.{name}.{key}: {no} key" for key in about if key.split(".")[0] in own)
                yield from (f"validate.{key}: {no} expectation" for key in self.expectations.keys_about(column))

    def _mixture(self) -> Iterator[str]:
        """Names of sources that there are not, and keys that a mixture cannot have."""
        source = self.ingest.root
        names = [part.name for part in source.sources] if isinstance(source, Mixture) else []
        known = f"the sources are {', '.join(names)}" if names else "ingest has no sources"
        for name in self.clean.sources:
            if name not in names:
                yield f"clean.sources.{name}: no such source{nearest(name, names)} ({known})"
        for part in source.sources if isinstance(source, Mixture) else ():
            if part.split is not None and "splits" in self.clean.sources.get(part.name, {}):
                yield f"clean.sources.{part.name}.splits: ingest puts the whole source into {part.split}; remove one"
        if not self.clean.across_sources and not names:
            yield "clean.across_sources: ingest has no sources"
        for number, one in enumerate(self.expectations.expectations):
            if one.source is not None and one.source not in names:
                told = f"no source {one.source!r}{nearest(one.source, names)} ({known})"
                yield f"validate.expectations[{number}].source: {told}"
        weighted = isinstance(source, Mixture) and any(part.weight or part.epochs for part in source.sources)
        if weighted and getattr(self.train, "next_sentence", False):
            yield "train.next_sentence: not for a mixture with weights; remove it, or weight and epochs"

    def _vocabulary(self) -> Iterator[str]:
        yield from self.tokenize.problems(self.task)
        of_base = self.tokenize.kind == "base"
        if of_base and self.model.from_scratch:
            yield "tokenize.kind: base needs a pretrained model, but model.init is scratch"
        if not of_base and not self.model.from_scratch:
            yield "tokenize.kind: a pretrained model keeps its own tokenizer; write kind: base"
        if not self.tokenize.shared and not self.model.takes_two_vocabularies():
            yield f"tokenize.shared: false, but {self.model.architecture} uses one vocabulary for both sides"

    def _lengths(self) -> Iterator[str]:
        positions = self.model.config.get("max_position_embeddings", self.model.config.get("n_positions"))
        longest = getattr(self.train, "context_length", None)
        if longest is None:
            for key in ("source_length", "target_length"):
                length = getattr(self.train, key, 0)
                if isinstance(positions, int) and length > positions:
                    yield f"train.{key}: {length} exceeds the {positions} positions of model.config"
            if isinstance(positions, int) and self._reads_one_row():
                yield from self._row(positions)
            elif isinstance(positions, int) and self.model.from_scratch:
                yield from self._output(positions)
            return
        if isinstance(positions, int) and longest > positions:
            yield f"train.context_length: {longest} exceeds the {positions} positions of model.config"
        if (window := getattr(self.evaluate, "window", 0)) > longest:
            yield f"evaluate.window: {window} exceeds train.context_length, {longest}; longer inputs are untrained"
        if isinstance(self.evaluate, ChatEvaluateSettings | PreferenceEvaluateSettings):
            if self.evaluate.generation.max_new_tokens >= longest:
                yield (
                    f"evaluate.generation.max_new_tokens: must be less than train.context_length, {longest}; the "
                    "question needs room, too"
                )
        elif isinstance(positions, int):
            yield from self._output(positions)

    def _output(self, positions: int) -> Iterator[str]:
        if not isinstance(self.evaluate, CausalEvaluateSettings | PairEvaluateSettings):
            return
        if self.evaluate.generation.max_new_tokens >= positions:
            yield f"evaluate.generation.max_new_tokens: must be less than the {positions} positions of model.config"

    def _reads_one_row(self) -> bool:
        """Whether a causal model gets source and target in one sequence."""
        architecture = self.model.architecture
        return self.task in PAIRS and architecture is not None and not is_encoder_decoder(architecture)

    def _row(self, positions: int) -> Iterator[str]:
        assert isinstance(self.train, PairTraining) and isinstance(self.evaluate, PairEvaluateSettings)
        text = self.train.source_length
        outputs = {
            "train.target_length": self.train.target_length,
            "evaluate.generation.max_new_tokens": self.evaluate.generation.max_new_tokens + 1,
        }
        for key, length in outputs.items():
            if text + length > positions:
                yield f"{key}: with train.source_length {text}, exceeds the {positions} positions of model.config"

    def _splits(self) -> Iterator[str]:
        source = self.ingest.root
        parts = source.sources if isinstance(source, Mixture) else ()
        own = [self.clean.of(part.name).splits for part in parts if part.split is None] or [self.clean.splits]
        forced = {part.split for part in parts}
        if not any(s.validation or s.validation_groups for s in own) and "validation" not in forced:
            yield "clean.splits.validation: 0 leaves nothing to validate on; raise it, or name validation_groups"
        if not any(s.test or s.test_groups for s in own) and "test" not in forced:
            yield "clean.splits.test: 0 leaves nothing to evaluate on; raise it, or name test_groups"

    def _headline(self) -> Iterator[str]:
        yield from (f"register.{problem}" for problem in register_problems(self.promotion, self.task))
        if "base" in self.promotion.beat and self.model.from_scratch:
            yield "register.beat: base needs a pretrained model, but model.init is scratch"


def _of_task(task: Task) -> type[Recipe]:
    sections: Any = {"train": (TRAINING[task], ...), "evaluate": (EVALUATION[task], ...)}
    return create_model(f"Recipe of {task}", __base__=Recipe, **sections)


RECIPES: dict[str, type[Recipe]] = {task: _of_task(task) for task in TASKS}
"""By task."""


def base_problem(task: str, learned: str, architecture: str) -> str | None:
    """Why a model cannot be the base for `task`, where that is certain: its architecture has no such head, or its
    vocabulary, learned from scratch for the task `learned`, lacks a token."""
    if (problem := architecture_problem(architecture, task)) is not None:
        return problem
    if task in ("causal-lm", *CHATS) and is_encoder_decoder(architecture):
        return f"{architecture} is an encoder-decoder, not a causal model"
    of_bert = learned in ("masked-lm", "classification")
    if task == "masked-lm" and not of_bert:
        return f"the vocabulary of {learned} has no mask token"
    if of_bert and is_causal(task, is_encoder_decoder(architecture)):
        return f"the vocabulary of {learned} has no end-of-text token"
    return None


def bench_of(name: str) -> Bench:
    """The workspace for a look at a recipe's source."""
    return Bench(recipe_path(name), DATA / name)


def load(name: str) -> Recipe:
    """The recipe `recipes/<name>.yaml`. Raises RecipeError with one line for each bad key."""
    path = recipe_path(name)
    return validate(RECIPES[read_task(name)], read_yaml(path), path)
