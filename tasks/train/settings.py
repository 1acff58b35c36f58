"""The sections `model` and `train` of a recipe, and what their keys mean."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tasks.contract.settings import Section
from tasks.train.catalogue import architecture_problem, config_problems

TASKS = ("causal-lm",)
"""What `task` of a recipe may be."""

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class ModelSettings(Section):
    """Section `model`: what is trained.

    The vocabulary and the ids of special tokens come from the tokenizer, and so are no keys of `config`.
    """

    init: Literal["scratch"] = "scratch"
    """Where the weights come from. `scratch`: drawn at random from `train.seed`."""
    architecture: str
    """A causal architecture of transformers, by its `model_type`: llama, gpt2, qwen3, …"""
    config: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the architecture's configuration: hidden_size, num_hidden_layers, …"""

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        if (problem := architecture_problem(architecture)) is not None:
            raise ValueError(problem)
        return architecture

    @field_validator("config")
    @classmethod
    def _taken(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "architecture" in info.data and (problems := config_problems(info.data["architecture"], config)):
            raise ValueError("; ".join(problems))
        return config


class AdamWSettings(Section):
    """AdamW for every parameter (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    name: Literal["adamw"]
    learning_rate: Positive = 1e-3
    embedding_learning_rate: Positive | None = None
    """For the token embeddings (None: `learning_rate`)."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    epsilon: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """For matrices and embeddings; never for norms and biases."""


class MuonSettings(AdamWSettings):
    """Muon for the matrices of the hidden layers (Jordan 2024, https://kellerjordan.github.io/posts/muon/), AdamW for
    embeddings, head, norms and biases."""

    name: Literal["muon"]  # type: ignore[assignment]
    matrix_learning_rate: Positive = 0.02
    matrix_weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Momentum = 0.95
    newton_schulz_steps: Annotated[int, Field(ge=1, lt=100)] = 5


class ScheduleSettings(Section):
    """The share of each learning rate at a step: a linear warm-up from near 0 to 1, then by name.

    linear   down to `final` at the last step
    cosine   the same along half a cosine
    wsd      at 1, then over the last `decay` of all steps linearly down to `final` (warm-up, stable, decay)
    """

    name: Literal["linear", "cosine", "wsd"] = "wsd"
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    final: Share = 0.0


class TrainSettings(Section):
    """Section `train`: how the model is trained."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Updates of the weights."""
    epochs: Positive | None = None
    """Instead of `steps`: passes over the training tokens."""
    context_length: Annotated[int, Field(ge=2)] = 256
    """Tokens of a block, and so of a sequence."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Sequences at a time."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Batches to one update."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the first weights, of dropout and of the order of the data."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the matrix products; weights are always float32. `auto`: bf16 where the processor or GPU really has it."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """`auto`: sdpa, but eager for bf16 on a processor, where the gradient of sdpa takes three times as long."""
    optimizer: Annotated[AdamWSettings | MuonSettings, Field(discriminator="name")] = MuonSettings(name="muon")
    schedule: ScheduleSettings = ScheduleSettings()
    clip_norm: Positive | None = 1.0
    """Gradients are scaled down to this norm."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Steps between two rows of history.csv, each the mean of its steps' losses."""
    evaluate_every: Annotated[int, Field(ge=1)] = 200
    """Steps between two evaluations on the validation split; the last step is always evaluated."""
    evaluation_tokens: Annotated[int, Field(ge=1)] | None = None
    """Of the validation split, from its start, for an evaluation (None: all)."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    """Steps between two checkpoints."""
    keep: Literal["last", "best"] = "last"
    """The model after the last step, or the one with the lowest validation loss."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self
