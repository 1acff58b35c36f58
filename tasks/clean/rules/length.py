"""Length bounds in characters (Unicode code points) or words (separated by white space)."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.clean.verdict import Batch, Finding, Rule, Side, Verdict, of_side
from tasks.stage.settings import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Count = Annotated[int, Field(ge=1)]
Unit = Literal["characters", "words"]


class Lengths(Section):
    """Inclusive length bounds of one side of a document, after normalization."""

    min_characters: Count = 1
    """Shorter documents are dropped; empty documents always are."""
    max_characters: Count | None = None
    """Longer documents are dropped."""
    min_words: Count | None = None
    """Documents with fewer words (separated by white space) are dropped."""
    max_words: Count | None = None
    """Documents with more words are dropped."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for unit in ("characters", "words"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least is not None and most is not None and most < least:
                raise ValueError(f"max_{unit} {most} is less than min_{unit} {least}")
        return self


def length_rules(bounds: Lengths, side: Side) -> list[Rule]:
    """Rules for the bounds set for one side; a document without that side passes."""
    rules = [at_least(bounds.min_characters, "characters", side)]
    if bounds.max_characters is not None:
        rules.append(at_most(bounds.max_characters, "characters", side))
    if bounds.min_words is not None:
        rules.append(at_least(bounds.min_words, "words", side))
    if bounds.max_words is not None:
        rules.append(at_most(bounds.max_words, "words", side))
    return rules


def at_least(least: int, unit: Unit, side: Side) -> Rule:
    """`too_few_<unit>` below `least`."""

    def rule(batch: Batch) -> Finding:
        sizes = _measured(batch, unit, side)
        return batch.side(side).there & (sizes < least), lambda row: of_side(
            side, Verdict(f"too_few_{unit}", str(sizes[row]), str(least))
        )

    return rule


def at_most(most: int, unit: Unit, side: Side) -> Rule:
    """`too_many_<unit>` above `most`."""

    def rule(batch: Batch) -> Finding:
        sizes = _measured(batch, unit, side)
        return sizes > most, lambda row: of_side(side, Verdict(f"too_many_{unit}", str(sizes[row]), str(most)))

    return rule


def _measured(batch: Batch, unit: Unit, side: Side) -> "NDArray[np.int64]":
    sizes: NDArray[np.int64] = getattr(batch.side(side), unit)
    return sizes
