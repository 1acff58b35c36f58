"""How a causal model continues a prompt: the recipe's `evaluate.generation`, and the defaults of the served model."""

from typing import Annotated

from pydantic import Field

from tasks.stage.settings import Section

Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class GenerationSettings(Section):
    """Sampling settings; `temperature: 0` means greedy decoding."""

    max_new_tokens: int = Field(200, ge=1)
    """Maximum length of a sample, in tokens."""
    temperature: float = Field(0.8, ge=0)
    """Divides the logits before sampling; 0 picks the most likely token."""
    top_k: int = Field(0, ge=0)
    """Sample from the k most likely tokens; 0: from all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the most likely tokens with this total probability (arXiv 1904.09751); 1: from all."""
    seed: Seed = 0
    """Seed, set anew for each prompt, so samples do not depend on earlier prompts."""
