"""The section `register` of a recipe."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section
from tasks.stage.task import FAMILIES, METRICS, headline


class RegisterSettings(Section):
    """Under which name a model is registered and what it must achieve to become the champion."""

    model_name: str | None = Field(None, min_length=1, max_length=250, pattern=r"^[^/:%\"']+$")
    """The registered model; the recipe's name by default. Two recipes may compete for one name."""
    metric: str | None = None
    """The metric that decides, a key of `evaluation/metrics.json`; the headline of the task by default."""
    min_improvement: float = Field(0.0, ge=0)
    """By how much it must be better than the champion's."""
    at_most: float | None = None
    """A champion's metric is at most this (for a metric of which less is better)."""
    at_least: float | None = None
    """A champion's metric is at least this (for a metric of which more is better)."""
    beat: tuple[str, ...] = ()
    """Baselines that a champion is better than: `xz` stands for `xz_bits_per_byte`."""
    compare_different_data: bool = False
    """Compare scores although their signatures differ, as those of a growing test split do."""

    @model_validator(mode="after")
    def _bound_fits_metric(self) -> Self:
        if self.metric is None:
            return self
        if self.metric not in METRICS:
            raise ValueError(f"metric: {self.metric!r} is not one of {', '.join(METRICS)}")
        if found := list(_bounds(self, self.metric)):
            raise ValueError("\n".join(found))
        return self

    def metric_of(self, task: str) -> str:
        """The metric that decides for a model of this task."""
        return self.metric or headline(task)


def problems(settings: RegisterSettings, task: str) -> Iterator[str]:
    """What does not fit the task, a sentence each; it begins with the key below `register`: `beat: …`."""
    metric, known = settings.metric_of(task), FAMILIES[task].metrics
    if metric not in known:
        yield f"metric: {task} is measured by {', '.join(known)}, not by {metric}"
        return
    yield from _bounds(settings, metric)
    for name in settings.beat:
        if name not in known[metric]:
            yield f"beat: no baseline {name!r} of {metric} (there are: {', '.join(known[metric]) or 'none'})"


def _bounds(settings: RegisterSettings, metric: str) -> Iterator[str]:
    if METRICS[metric] and settings.at_least is not None:
        yield f"at_least: less {metric} is better; use at_most"
    if not METRICS[metric] and settings.at_most is not None:
        yield f"at_most: more {metric} is better; use at_least"
