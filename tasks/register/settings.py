"""The section `register` of a recipe."""

from typing import Self

from pydantic import Field, model_validator

from tasks.contract.settings import Section

LOWER_IS_BETTER = {
    "bits_per_byte": True,
    "perplexity": True,
    "loss": True,
    "bleu": False,
    "chrf": False,
    "rouge1": False,
    "rouge2": False,
    "rougeL": False,
    "rougeLsum": False,
    "accuracy": False,
    "f1": False,
    "macro_f1": False,
    "exact_match": False,
}
"""The headline metrics that a model can be promoted by, as `evaluation/metrics.json` names them."""


def is_baseline(key: str) -> bool:
    """Whether a key of `evaluation/metrics.json` is a baseline's: `xz_bits_per_byte` beside `bits_per_byte`."""
    return any(key.endswith(f"_{metric}") for metric in LOWER_IS_BETTER) and key not in LOWER_IS_BETTER


class RegisterSettings(Section):
    """Under which name a model is registered and what it must achieve to become the champion."""

    model_name: str | None = Field(None, min_length=1, max_length=250, pattern=r"^[^/:%\"']+$")
    """The registered model; the recipe's name by default. Two recipes may compete for one name."""
    metric: str = "bits_per_byte"
    """The headline metric, a key of `evaluation/metrics.json`."""
    min_improvement: float = Field(0.0, ge=0)
    """By how much it must be better than the champion's."""
    at_most: float | None = None
    """A champion's metric is at most this (for a metric of which less is better)."""
    at_least: float | None = None
    """A champion's metric is at least this (for a metric of which more is better)."""
    beat: tuple[str, ...] = ()
    """Baselines that a champion is better than: `xz` stands for `xz_bits_per_byte`."""
    compare_different_data: bool = False
    """Compare scores although their signatures differ, as those of a growing test split do; see `promotion`."""

    @model_validator(mode="after")
    def _bound_fits_metric(self) -> Self:
        if self.metric not in LOWER_IS_BETTER:
            raise ValueError(f"metric: {self.metric!r} is not one of {', '.join(LOWER_IS_BETTER)}")
        if self.lower_is_better and self.at_least is not None:
            raise ValueError(f"at_least: less {self.metric} is better; use at_most")
        if not self.lower_is_better and self.at_most is not None:
            raise ValueError(f"at_most: more {self.metric} is better; use at_least")
        return self

    @property
    def lower_is_better(self) -> bool:
        """The direction of the headline metric."""
        return LOWER_IS_BETTER[self.metric]
