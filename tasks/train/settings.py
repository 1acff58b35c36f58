"""The sections `model` and `train` of a recipe."""

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
    """LoRA: low-rank adapters on the frozen weights of a base (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    The adapters are merged into the weights after training, so the result is an ordinary model.
    """

    rank: Count = 8
    """Rank of the adapter matrices."""
    alpha: Count = 16
    """The adapters' output is scaled by alpha / rank."""
    dropout: Momentum = 0.0
    """Dropout on the adapters' input."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the layers to adapt: q_proj, v_proj, …"""
    keep_adapter: Annotated[bool, Field(exclude_if=lambda keep: not keep)] = False
    """Also keep the adapter alone, in the folder `adapter` of the model, for PEFT."""
    quantize: Annotated[Literal["nf4"] | None, Field(exclude_if=lambda kind: kind is None)] = None
    """QLoRA: the frozen weights in 4 bits while training (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314)."""


class ModelSettings(Section):
    """Section `model`: the model to train.

    Vocabulary size and special token ids come from the tokenizer, and classes from the corpus; `config` cannot set
    them.
    """

    init: Origin
    """Where the weights come from: `scratch`, `recipe:NAME`, or a mapping with a `kind`."""
    architecture: str | None = None
    """From scratch: the `model_type` of a transformers architecture: llama, marian, t5, bert, …"""
    config: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the architecture's config: hidden_size, num_hidden_layers, … With a base, only keys that keep the
    shapes of its weights, such as dropout."""
    lora: LoraSettings | None = None
    """Train low-rank adapters instead of all weights."""

    @property
    def from_scratch(self) -> bool:
        """Whether the weights are initialized at random."""
        return isinstance(self.init, Scratch)

    @model_validator(mode="after")
    def _of_scratch_or_of_a_base(self) -> Self:
        if self.from_scratch and self.architecture is None:
            raise ValueError("architecture: missing; required when training from scratch")
        if not self.from_scratch and self.architecture is not None:
            raise ValueError("architecture: set by the base; remove this key")
        if self.from_scratch and self.lora is not None:
            raise ValueError("lora: needs a base; it cannot be used with init: scratch")
        return self

    def problems(self, task: str) -> Iterator[str]:
        """Errors in the architecture or its config for a task; each begins with the key."""
        if self.architecture is None:
            return
        if (problem := architecture_problem(self.architecture, task)) is not None:
            yield f"model.architecture: {problem}"
        else:
            yield from (f"model.config: {problem}" for problem in config_problems(self.architecture, self.config))

    def takes_two_vocabularies(self) -> bool:
        """Whether source and target can have separate vocabularies; assumed of any base."""
        return self.architecture is None or "decoder_vocab_size" in config_keys(self.architecture)


class AdamWSettings(Section):
    """AdamW for all parameters (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    name: Literal["adamw"]
    learning_rate: Positive = 1e-3
    """Peak learning rate of all parameters without their own."""
    embedding_learning_rate: Positive | None = None
    """Peak learning rate of the token embeddings (None: `learning_rate`)."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    """Decay rates of the first and second moments."""
    epsilon: Positive = 1e-8
    """Added to the denominator of the update."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of matrices and embeddings; norms and biases are never decayed."""


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
    """The learning rate schedule: a linear warm-up to the peak, then by name.

    linear   linear decay to `final` at the last step
    cosine   cosine decay to `final` at the last step
    wsd      warm-up, stable, decay: constant, then linear decay to `final` over the last `decay` of all steps
    """

    name: Literal["linear", "cosine", "wsd"] = "wsd"
    """Shape of the schedule after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of the warm-up."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """wsd: fraction of all steps spent decaying."""
    final: Share = 0.0
    """Learning rate at the last step, as a fraction of the peak."""


class AverageSettings(Section):
    """Weight averaging: the model gets the mean of the weights over the last steps (Izmailov et al. 2018,
    https://arxiv.org/abs/1803.05407), or their exponential moving average.

    Once averaging has begun, validation measures the averaged weights; `keep: best` and `patience` go by them, too.
    Training itself goes on with its own weights.
    """

    last: Annotated[float, Field(gt=0, le=1)] | None = None
    """Fraction of all steps, at the end, whose weights have equal parts in the mean."""
    every: Count = 1
    """Of these, take every n-th step; the last step counts."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Instead of `last`: decay of the exponential moving average per step, from the first step on."""

    @model_validator(mode="after")
    def _one_mean(self) -> Self:
        if (self.last is None) == (self.ema is None):
            raise ValueError("set either last or ema")
        if self.ema is not None and self.every != 1:
            raise ValueError("every: needs last")
        return self


class TrainSettings(Section):
    """Section `train`: how to train the model; keys common to all tasks."""

    steps: Count | None = None
    """Number of optimizer steps."""
    epochs: Positive | None = None
    """Passes over the training split, instead of `steps`."""
    accumulation: Count = 1
    """Gradient accumulation: batches per step."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed for weight initialization, dropout and data order."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of matrix products; weights stay float32. `auto`: bf16 where the hardware supports it."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """`auto`: sdpa if the architecture has it; eager for bf16 on a CPU, where training with sdpa is 3 times slower."""
    optimizer: Annotated[AdamWSettings | MuonSettings, Field(discriminator="name")] = MuonSettings(name="muon")
    """AdamW for all parameters, or Muon for the hidden matrices and AdamW for the rest."""
    schedule: ScheduleSettings = ScheduleSettings()
    """Learning rate schedule."""
    gradient_checkpointing: Annotated[bool, Field(exclude_if=lambda on: not on)] = False
    """Compute activations again in the backward pass instead of keeping them: less memory, but more time."""
    clip_norm: Positive | None = 1.0
    """Maximum gradient norm."""
    log_every: Count = 10
    """Steps per row of history.csv; a row has their mean loss."""
    evaluate_every: Count = 200
    """Steps between evaluations on the validation split; the last step is always evaluated."""
    checkpoint_every: Count = 200
    """Steps between checkpoints."""
    average: Annotated[AverageSettings | None, Field(exclude_if=lambda average: average is None)] = None
    """Average the weights: `{last: 0.2}` or `{ema: 0.999}` (None: the weights of the last step)."""
    keep: Literal["last", "best"] = "last"
    """Keep the model after the last step, or the one with the lowest validation loss."""
    shard: Literal["none", "full"] = Field("none", exclude_if=lambda how: how == "none")
    """With GRISTMILL_LAUNCH: `full` deals weights, gradients and the optimizer's state over the processes (FSDP2), for
    models that do not fit one device; `none` gives each process all of them (DDP)."""
    patience: Count | None = None
    """Early stopping: end after this many evaluations without a lower validation loss; needs keep: best."""

    def tokens_read(self) -> int | None:
        """Maximum tokens that the training reads, padding counted; None if `epochs` decide."""
        return None if self.steps is None else self.steps * self.accumulation * self.tokens_per_batch()

    def tokens_per_batch(self) -> int:
        """Maximum tokens of a batch."""
        batch_tokens: int = getattr(self, "batch_tokens", 0)
        return batch_tokens

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set either steps or epochs")
        if self.patience is not None and self.keep != "best":
            raise ValueError("patience: needs keep: best")
        if self.shard != "none" and self.average is not None:
            raise ValueError("shard: cannot be used with average, which needs whole weights on each device")
        return self


class PackedTraining(TrainSettings):
    """Causal models: documents are concatenated and cut into fixed-length blocks."""

    context_length: Annotated[int, Field(ge=2)] = 256
    """Tokens per sequence."""
    batch_size: Count = 16
    """Sequences per batch."""
    evaluation_tokens: Count | None = None
    """Evaluate on the first tokens of the validation split only (None: all)."""
    shuffle: Literal["blocks", "documents"] = Field("blocks", exclude_if=lambda what: what == "blocks")
    """What each pass puts in a new order: `blocks`, cut from the documents in the order of the corpus, or `documents`,
    so that other documents become neighbors, and then the blocks."""

    def tokens_per_batch(self) -> int:
        """See `TrainSettings.tokens_per_batch`."""
        return self.batch_size * self.context_length


class MaskedTraining(PackedTraining):
    """Masked models: blocks wrapped in [CLS] and [SEP], with masked tokens."""

    context_length: Annotated[int, Field(ge=8)] = 128
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Fraction of tokens to predict: 80 % [MASK], 10 % random, 10 % unchanged (Devlin et al. 2018, section 3.1)."""
    next_sentence: bool = False
    """Also train next-sentence prediction (Devlin et al. 2018, section 3.1)."""


class BucketTraining(TrainSettings):
    """Documents batched by length."""

    batch_tokens: Count = 4096
    """Maximum tokens per batch, counting padding and both sides; a longer document is a batch of its own."""
    source_length: Annotated[int, Field(ge=4)] = 256
    """Maximum tokens per text, special tokens included. Longer texts are truncated; translation drops the pair."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing of the training loss only (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7)."""
    evaluation_documents: Count | None = None
    """Evaluate on the first documents of the validation split only (None: all)."""


class PairTraining(BucketTraining):
    """Encoder-decoders, and causal models that get source and target in one sequence."""

    target_length: Annotated[int, Field(ge=2)] = 256
    """Maximum tokens per target. Longer pairs are dropped: a truncated target teaches the model to stop early."""


class ChatTraining(TrainSettings):
    """Conversations, rendered by the chat template; the loss is on the assistant's tokens."""

    context_length: Annotated[int, Field(ge=8)] = 1024
    """Maximum tokens of a conversation; longer ones are cut after the last whole answer that fits."""
    batch_tokens: Count = 4096
    """Maximum tokens per batch, counting padding; a longer conversation is a batch of its own."""
    packing: bool = True
    """Whether several conversations share a row; none sees the others. Otherwise rows of similar length are padded."""
    loss_on: Literal["answers", "all", "last_answer"] = "answers"
    """What the loss is on: every answer, all tokens, or the last answer only."""
    neftune_alpha: Positive | None = None
    """NEFTune: noise on the embeddings while training (Jain et al. 2023, https://arxiv.org/abs/2310.05914)."""
    evaluation_documents: Count | None = None
    """Evaluate on the first conversations of the validation split only (None: all)."""


class DpoSettings(Section):
    """DPO: direct preference optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290)."""

    name: Literal["dpo"]
    beta: Positive = 0.1
    """How strongly the model is held to the base; smaller lets it move further."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Fraction of pairs assumed to be labeled the wrong way round, in training only (conservative DPO, Mitchell 2023,
    https://ericmitchell.ai/cdpo.pdf)."""


class IpoSettings(Section):
    """IPO: identity preference optimization, which does not overfit to certain preferences (Azar et al. 2023,
    https://arxiv.org/abs/2310.12036)."""

    name: Literal["ipo"]
    beta: Positive = 0.1
    """The paper's tau: the margin per token that is aimed at is 1 / (2 beta)."""


class KtoSettings(Section):
    """KTO: the chosen answers are desirable, the rejected ones undesirable (Ethayarajh et al. 2024,
    https://arxiv.org/abs/2402.01306)."""

    name: Literal["kto"]
    beta: Positive = 0.1
    """How strongly the model is held to the base; smaller lets it move further."""
    desirable_weight: Positive = 1.0
    """Weight of the chosen answers."""
    undesirable_weight: Positive = 1.0
    """Weight of the rejected answers."""


class OrpoSettings(Section):
    """ORPO: likelihood of the chosen answer plus an odds ratio, without a reference (Hong et al. 2024,
    https://arxiv.org/abs/2403.07691)."""

    name: Literal["orpo"]
    beta: Positive = 0.1
    """The paper's lambda: the weight of the odds ratio."""


class SimpoSettings(Section):
    """SimPO: log-probabilities per token with a target margin, without a reference (Meng et al. 2024,
    https://arxiv.org/abs/2405.14734)."""

    name: Literal["simpo"]
    beta: Positive = 2.0
    """Scale of the log-probabilities per token."""
    gamma: Annotated[float, Field(ge=0)] = 1.0
    """The margin that is aimed at, after scaling by beta."""


PreferenceLoss = DpoSettings | IpoSettings | KtoSettings | OrpoSettings | SimpoSettings

WITH_REFERENCE = (DpoSettings, IpoSettings, KtoSettings)
"""Losses that compare the model with its base."""


class PreferenceTraining(TrainSettings):
    """Pairs of answers: the chosen one becomes likelier than the rejected one, relative to the base."""

    loss: Annotated[PreferenceLoss, Field(discriminator="name")] = DpoSettings(name="dpo")
    """What is minimized: dpo, ipo, kto, orpo or simpo."""
    context_length: Annotated[int, Field(ge=8)] = 1024
    """Maximum tokens of a conversation with its answer; pairs that exceed it are left out."""
    batch_tokens: Count = 4096
    """Maximum tokens per batch, both answers and padding counted; a longer pair is a batch of its own."""
    evaluation_documents: Count | None = None
    """Evaluate on the first pairs of the validation split only (None: all)."""

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares the model with its base."""
        return isinstance(self.loss, WITH_REFERENCE)


SETTINGS: dict[
    str,
    type[PackedTraining | MaskedTraining | PairTraining | BucketTraining | ChatTraining | PreferenceTraining],
] = {
    "causal-lm": PackedTraining,
    "masked-lm": MaskedTraining,
    **dict.fromkeys(PAIRS, PairTraining),
    "classification": BucketTraining,
    "chat": ChatTraining,
    "preference": PreferenceTraining,
}
"""Settings class by task."""


def problems(task: str, model: ModelSettings, train: TrainSettings) -> Iterator[str]:
    """Conflicts between task, model and training settings; each begins with the key."""
    yield from model.problems(task)
    known = sentence_architectures()
    wanted = isinstance(train, MaskedTraining) and train.next_sentence and model.architecture is not None
    if wanted and model.architecture not in known:
        yield f"train.next_sentence: {model.architecture} does not support it; use one of {', '.join(known)}"
    if train.shard != "none" and model.lora is not None and model.lora.quantize is not None:
        yield "train.shard: cannot be used with model.lora.quantize: weights in 4 bits cannot be dealt over devices"
    if isinstance(train, PreferenceTraining) and model.from_scratch and not isinstance(train.loss, OrpoSettings):
        yield (
            f"train.loss: {train.loss.name} needs a base that already answers, and random weights do not; set "
            "model.init to one, or use orpo, which also learns the chosen answers"
        )
