"""The input and output of a rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side = Literal["text", "target"]
SIDES: tuple[Side, ...] = ("text", "target")
"""The sides of a document; only pairs have a target."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of one side of each document of a batch; 0 for a missing side."""

    characters: "NDArray[np.int64]"
    words: "NDArray[np.int64]"
    """Words separated by white space [documents]."""
    lengths: "NDArray[np.int64]"
    """Words, counting scripts without spaces too (`scripts`) if sides are compared; else `words` [documents]."""
    there: "NDArray[np.bool_]"
    """Whether the document has this side [documents]."""


@dataclass(frozen=True)
class Batch:
    """Sizes and labels of a batch of documents after normalization."""

    text: Sizes
    target: Sizes
    identical: "NDArray[np.bool_]"
    """Whether the target equals the text [documents]."""
    labels: list[str | None]

    def side(self, name: Side) -> Sizes:
        """The sizes of one side."""
        return self.text if name == "text" else self.target


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped: the reason, the measured value, and the threshold."""

    reason: str
    value: str
    threshold: str | None


Finding = tuple["NDArray[np.bool_]", Callable[[int], Verdict]]
"""Which documents a rule drops [documents], and a function from row to verdict."""
Rule = Callable[[Batch], Finding]


def shown(value: float, threshold: float, digits: int = 3) -> str:
    """Format a value with `digits` digits, or as many more as needed to show that it breaks the threshold."""
    if value == threshold:
        return f"{value:.{digits}g}"
    for enough in range(digits, 17):
        text = f"{value:.{enough}g}"
        if (float(text) - threshold) * (value - threshold) > 0:
            return text
    return repr(value)


def of_side(side: Side, verdict: Verdict) -> Verdict:
    """The verdict, with its reason prefixed by `target_` for the target side."""
    return verdict if side == "text" else Verdict(f"target_{verdict.reason}", verdict.value, verdict.threshold)
