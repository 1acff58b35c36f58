"""What a rule is asked about, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side = Literal["text", "target"]
SIDES: tuple[Side, ...] = ("text", "target")
"""Of a document; one of a corpus without pairs has no target."""


@dataclass(frozen=True)
class Sizes:
    """How long one side of each document of a batch is; 0 where there is none."""

    characters: "NDArray[np.int64]"
    words: "NDArray[np.int64]"
    """Separated by white space [documents]."""
    lengths: "NDArray[np.int64]"
    """In words of scripts without blanks, too, where sides are compared (`scripts`), else the words [documents]."""
    there: "NDArray[np.bool_]"
    """Has the document this side [documents]?"""


@dataclass(frozen=True)
class Batch:
    """The documents of a batch after rewriting, as the rules about their sizes and labels see them."""

    text: Sizes
    target: Sizes
    identical: "NDArray[np.bool_]"
    """Is the target the text [documents]?"""
    labels: list[str | None]

    def side(self, name: Side) -> Sizes:
        """One of the two."""
        return self.text if name == "text" else self.target


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped, what was measured, and the threshold that it missed."""

    reason: str
    value: str
    threshold: str | None


Finding = tuple["NDArray[np.bool_]", Callable[[int], Verdict]]
"""Which documents a rule drops [documents], and why each of them."""
Rule = Callable[[Batch], Finding]


def shown(value: float, threshold: float, digits: int = 3) -> str:
    """A value that breaks a threshold, in so many digits, or in as many more as tell the two apart."""
    if value == threshold:
        return f"{value:.{digits}g}"
    for enough in range(digits, 17):
        text = f"{value:.{enough}g}"
        if (float(text) - threshold) * (value - threshold) > 0:
            return text
    return repr(value)


def of_side(side: Side, verdict: Verdict) -> Verdict:
    """A verdict with a reason that tells of which side it is."""
    return verdict if side == "text" else Verdict(f"target_{verdict.reason}", verdict.value, verdict.threshold)
