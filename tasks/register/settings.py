"""The section `register` of a recipe."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.compare.settings import Guard
from tasks.compare.settings import problems as guard_problems
from tasks.stage.problems import nearest
from tasks.stage.settings import Section
from tasks.stage.task import FAMILIES, METRICS, headline


class RegisterSettings(Section):
    """The name of the registered model, and the conditions for becoming champion."""

    model_name: str | None = Field(None, min_length=1, max_length=250, pattern=r"^[^/:%\"'\s]([^/:%\"']*[^/:%\"'\s])?$")
    """Name of the registered model; defaults to the recipe's name. Two recipes may compete for one name."""
    metric: str | None = None
    """The metric that decides, a key of `evaluation/metrics.json`; defaults to the task's headline metric."""
    min_improvement: float = Field(0.0, ge=0)
    """Minimum gain over the champion, beside being better beyond chance."""
    at_most: float | None = None
    """Maximum value for a champion (metrics where lower is better)."""
    at_least: float | None = None
    """Minimum value for a champion (metrics where higher is better)."""
    beat: tuple[str, ...] = ()
    """Baselines that a champion must beat: `xz` means `xz_bits_per_byte`."""
    margin: float = Field(0.0, ge=0)
    """A loss against the champion that does not matter, in units of the metric; see `on_tie`."""
    on_tie: Literal["keep", "newest"] = "keep"
    """Who reigns if the test text cannot tell the two apart: the champion, or `newest`, the new version, if it is shown
    to lose less than `margin` (a test of non-inferiority)."""
    guards: tuple[Guard, ...] = ()
    """Further metrics and slices of the test text that must not become worse."""
    max_decisions: int = Field(20, ge=1)
    """How many versions one test text may decide about before a warning asks for a new one (`clean.splits.seed`)."""

    @model_validator(mode="after")
    def _tie_has_a_margin(self) -> Self:
        if self.on_tie == "newest" and not self.margin:
            raise ValueError("on_tie: newest needs a margin, the largest loss that does not matter; set margin")
        return self

    @model_validator(mode="after")
    def _bound_fits_metric(self) -> Self:
        if self.metric is None:
            return self
        if self.metric not in METRICS:
            raise ValueError(
                f"metric: {self.metric!r} is not one of {', '.join(METRICS)}{nearest(self.metric, METRICS)}"
            )
        if found := list(_bounds(self, self.metric)):
            raise ValueError("\n".join(found))
        return self

    def metric_of(self, task: str) -> str:
        """The metric that decides for this task."""
        return self.metric or headline(task)


def problems(settings: RegisterSettings, task: str) -> Iterator[str]:
    """Settings that do not fit the task, one sentence each, starting with the key: `beat: …`."""
    metric, known = settings.metric_of(task), FAMILIES[task].metrics
    if metric not in known:
        yield f"metric: {metric} is not a metric of {task} (available: {', '.join(known)}){nearest(metric, known)}"
        return
    yield from _bounds(settings, metric)
    for name in settings.beat:
        if name not in known[metric]:
            yield f"beat: no baseline {name!r} for {metric} (available: {', '.join(known[metric]) or 'none'})"
    for number, guard in enumerate(settings.guards):
        yield from (f"guards.{number}.{problem}" for problem in guard_problems(guard, task))


def _bounds(settings: RegisterSettings, metric: str) -> Iterator[str]:
    if METRICS[metric] and settings.at_least is not None:
        yield f"at_least: lower {metric} is better; use at_most"
    if not METRICS[metric] and settings.at_most is not None:
        yield f"at_most: higher {metric} is better; use at_least"
