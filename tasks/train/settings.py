"""The sections `model` and `train` of a recipe, and what their keys mean."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.formats.origin import Origin, Scratch
from tasks.stage.settings import Section
from tasks.stage.task import PAIRS
from tasks.train.catalogue import architecture_problem, config_keys, config_problems, sentence_architectures

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class LoraSettings(Section):
    """Small matrices beside the frozen weights of a base (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    They are added to the weights when the training ends, so that the model is like any other.
    """

    rank: Count = 8
    """Rank of the two matrices beside each layer."""
    alpha: Count = 16
    """Their product is scaled by alpha / rank."""
    dropout: Momentum = 0.0
    """Dropout on the input of these matrices."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get some: q_proj, v_proj, …"""


class ModelSettings(Section):
    """Section `model`: what is trained.

    The vocabulary and the ids of special tokens come from the tokenizer, the classes from the corpus, and so are no
    keys of `config`.
    """

    init: Origin
    """Where the weights come from: `scratch`, `recipe:NAME`, or a mapping with a `kind`."""
    architecture: str | None = None
    """From scratch: an architecture of transformers, by its `model_type`: llama, marian, t5, bert, …"""
    config: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the architecture's configuration: hidden_size, num_hidden_layers, … For a base, what changes none
    of its weights: dropout and the like."""
    lora: LoraSettings | None = None
    """Train low-rank matrices instead of all weights."""

    @property
    def from_scratch(self) -> bool:
        """Whether the weights are drawn at random."""
        return isinstance(self.init, Scratch)

    @model_validator(mode="after")
    def _of_scratch_or_of_a_base(self) -> Self:
        if self.from_scratch and self.architecture is None:
            raise ValueError("architecture: missing; a model from scratch needs one")
        if not self.from_scratch and self.architecture is not None:
            raise ValueError("architecture: that of the base; leave it out")
        if self.from_scratch and self.lora is not None:
            raise ValueError("lora: freezes the weights of a base, and scratch has none")
        return self

    def problems(self, task: str) -> Iterator[str]:
        """What is wrong with the architecture for a task, or with its configuration; each begins with the key."""
        if self.architecture is None:
            return
        if (problem := architecture_problem(self.architecture, task)) is not None:
            yield f"model.architecture: {problem}"
        else:
            yield from (f"model.config: {problem}" for problem in config_problems(self.architecture, self.config))

    def takes_two_vocabularies(self) -> bool:
        """Whether the architecture can give each side of a pair a vocabulary of its own; a base's is as it is."""
        return self.architecture is None or "decoder_vocab_size" in config_keys(self.architecture)


class AdamWSettings(Section):
    """AdamW for every parameter (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    name: Literal["adamw"]
    learning_rate: Positive = 1e-3
    """Peak learning rate of every parameter without a rate of its own."""
    embedding_learning_rate: Positive | None = None
    """For the token embeddings (None: `learning_rate`)."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    """Decay rates of the first and second moments."""
    epsilon: Positive = 1e-8
    """Added to the denominator of the update."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """For matrices and embeddings; never for norms and biases."""


class MuonSettings(AdamWSettings):
    """Muon for the matrices of the hidden layers (Jordan 2024, https://kellerjordan.github.io/posts/muon/), AdamW for
    embeddings, head, norms and biases."""

    name: Literal["muon"]  # type: ignore[assignment]
    matrix_learning_rate: Positive = 0.02
    """Peak learning rate of the hidden matrices."""
    matrix_weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of the hidden matrices."""
    momentum: Momentum = 0.95
    """Momentum of the hidden matrices."""
    newton_schulz_steps: Annotated[int, Field(ge=1, lt=100)] = 5
    """Newton-Schulz iterations per update."""


class ScheduleSettings(Section):
    """The share of each learning rate at a step: a linear warm-up from near 0 to 1, then by name.

    linear   down to `final` at the last step
    cosine   the same along half a cosine
    wsd      at 1, then over the last `decay` of all steps linearly down to `final` (warm-up, stable, decay)
    """

    name: Literal["linear", "cosine", "wsd"] = "wsd"
    """Shape of the schedule after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of the warm-up."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """wsd: fraction of all steps spent decaying."""
    final: Share = 0.0
    """Fraction of the peak learning rate at the last step."""


class TrainSettings(Section):
    """Section `train`: how the model is trained; what all tasks have in common."""

    steps: Count | None = None
    """Updates of the weights."""
    epochs: Positive | None = None
    """Instead of `steps`: passes over the training split."""
    accumulation: Count = 1
    """Batches to one update."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the first weights, of dropout and of the order of the data."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the matrix products; weights are always float32. `auto`: bf16 where the processor or GPU really has it."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """`auto`: sdpa, but eager for bf16 on a processor, where the gradient of sdpa takes three times as long."""
    optimizer: Annotated[AdamWSettings | MuonSettings, Field(discriminator="name")] = MuonSettings(name="muon")
    """AdamW for all parameters, or Muon for the hidden matrices and AdamW for the rest."""
    schedule: ScheduleSettings = ScheduleSettings()
    """How the learning rates change over the training."""
    clip_norm: Positive | None = 1.0
    """Gradients are scaled down to this norm."""
    log_every: Count = 10
    """Steps between two rows of history.csv, each the mean of its steps' losses."""
    evaluate_every: Count = 200
    """Steps between two evaluations on the validation split; the last step is always evaluated."""
    checkpoint_every: Count = 200
    """Steps between two checkpoints."""
    keep: Literal["last", "best"] = "last"
    """The model after the last step, or the one with the lowest validation loss."""
    patience: Count | None = None
    """Early stopping: evaluations without a lower validation loss after which the training ends; needs keep: best."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.patience is not None and self.keep != "best":
            raise ValueError("patience: waits for the best model, so write keep: best")
        return self


class PackedTraining(TrainSettings):
    """Causal models: blocks of one length, cut from documents that stand back to back."""

    context_length: Annotated[int, Field(ge=2)] = 256
    """Tokens of a block, and so of a sequence."""
    batch_size: Count = 16
    """Sequences at a time."""
    evaluation_tokens: Count | None = None
    """Of the validation split, from its start, for an evaluation (None: all)."""


class MaskedTraining(PackedTraining):
    """Masked models: the same blocks, with the first and last token that the tokenizer puts around a text."""

    context_length: Annotated[int, Field(ge=8)] = 128
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Of these tokens 80 % become [MASK], 10 % another token, 10 % stay (Devlin et al. 2018, section 3.1)."""
    next_sentence: bool = False
    """BERT's second task: do two segments follow one another in a document? (section 3.1)"""


class BucketTraining(TrainSettings):
    """Documents one by one, in batches of about the same length."""

    batch_tokens: Count = 4096
    """Most tokens of a batch, padding and both sides counted; a document that has more is a batch by itself."""
    source_length: Annotated[int, Field(ge=4)] = 256
    """Most tokens of a text, special ones counted. Longer ones are cut; of a translation the pair is left out."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Szegedy et al. 2016 (https://arxiv.org/abs/1512.00567), section 7; not of the validation loss."""
    evaluation_documents: Count | None = None
    """Of the validation split, from its start, for an evaluation (None: all)."""


class PairTraining(BucketTraining):
    """Encoder-decoders, and causal models that read a text and its target as one row."""

    target_length: Annotated[int, Field(ge=2)] = 256
    """Most tokens of a target; a pair with a longer one is left out: cut, it would teach to stop early."""


SETTINGS: dict[str, type[PackedTraining | MaskedTraining | PairTraining | BucketTraining]] = {
    "causal-lm": PackedTraining,
    "masked-lm": MaskedTraining,
    **dict.fromkeys(PAIRS, PairTraining),
    "classification": BucketTraining,
}
"""By task."""


def problems(task: str, model: ModelSettings, train: TrainSettings) -> Iterator[str]:
    """What does not fit between the task, the model and its training; each begins with the key."""
    yield from model.problems(task)
    known = sentence_architectures()
    wanted = isinstance(train, MaskedTraining) and train.next_sentence and model.architecture is not None
    if wanted and model.architecture not in known:
        yield f"train.next_sentence: {model.architecture} has no head for it (these have: {', '.join(known)})"
