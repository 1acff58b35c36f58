"""The section `evaluate` of a recipe."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.contract.settings import Section

METRICS = {"causal-lm": {"bits_per_byte": ("unigram", "xz"), "perplexity": (), "loss": ()}}
"""By task: what `evaluation/metrics.json` measures, and of which baselines it has the same."""


def _not_blank(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("an empty prompt; write some text, or take it out")
    return prompt


Prompt = Annotated[str, AfterValidator(_not_blank)]


class GenerationSettings(Section):
    """How samples are drawn; `temperature: 0` takes the likeliest token each time."""

    max_new_tokens: int = Field(200, ge=1)
    temperature: float = Field(0.8, ge=0)
    top_k: int = Field(0, ge=0)
    """Draw from the k likeliest tokens; 0: from all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the likeliest tokens that together have this probability (arXiv 1904.09751); 1: from all."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """For every prompt anew, so that a prompt's text does not depend on the prompts before it."""


class EvaluateSettings(Section):
    """What is scored, with how much context, and which samples are drawn."""

    window: int = Field(256, ge=1)
    """Tokens that the model sees at once; at most its positions."""
    stride: int = Field(128, ge=1)
    """New tokens that a window after the first one scores; the smaller, the more context, and the slower."""
    batch_size: int = Field(16, ge=1)
    """Windows at a time; fewer where the vocabulary is large. It moves scores by rounding errors only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: matrix products in bfloat16; fast on processors that have it, less exact; the signature says which."""
    prompts: tuple[Prompt, ...] = ()
    generation: GenerationSettings = Field(default_factory=lambda: GenerationSettings.model_validate({}))

    @model_validator(mode="after")
    def _stride_within_window(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"stride {self.stride} is more than window {self.window}: tokens would go unscored")
        return self
