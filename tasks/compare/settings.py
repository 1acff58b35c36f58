"""A guard of the section `register`: something further that may not become worse."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from tasks.stage.problems import nearest
from tasks.stage.settings import Name, Section
from tasks.stage.task import FAMILIES, METRICS

OWN = ("id", "text", "target")
"""Columns in which each document has its own value."""
BY = ("group", "label", "source", "language", "length")
"""What documents can be sliced by: the other columns of the corpus, and two that are found in the text."""


class Guard(Section):
    """A metric that may not become worse, on all test documents or on each slice of them."""

    metric: str | None = None
    """The metric that is guarded; defaults to the one that decides."""
    by: Name | None = None
    """Slices: `group`, `label`, `source` (its name in a mixture, else the file), `language` (identified) or `length` of
    the text (`short`, `middle`, `long`: thirds by bytes). Null guards all documents together."""
    value: Name | None = None
    """Guard only this slice; null guards every slice."""
    tolerance: float = Field(0.0, ge=0)
    """How much worse it may become, in the metric's units."""

    @model_validator(mode="after")
    def _slices_are_slices(self) -> Self:
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(
                f"metric: {self.metric!r} is not one of {', '.join(METRICS)}{nearest(self.metric, METRICS)}"
            )
        if self.by in OWN:
            raise ValueError(f"by: each document has its own {self.by}; name a column that documents share")
        if self.value is not None and self.by is None:
            raise ValueError("value: needs `by`, the column that has this value")
        return self


def problems(guard: Guard, task: str) -> Iterator[str]:
    """What of a guard does not fit the task, one sentence each, starting with the key: `metric: …`."""
    known = FAMILIES[task].metrics
    if guard.metric is not None and guard.metric not in known:
        yield f"metric: {guard.metric} is not a metric of {task} (available: {', '.join(known)})" + nearest(
            guard.metric, known
        )
    if guard.by is not None and guard.by not in BY:
        yield f"by: the corpus has no column {guard.by!r} (available: {', '.join(BY)})" + nearest(guard.by, BY)
    if guard.by == "label" and FAMILIES[task].needs != "label":
        yield f"by: documents of {task} have no label"
