"""Length bounds in characters (Unicode code points) or words (separated by white space)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.clean.verdict import Batch, Finding, Rule, Side, Verdict, of_side
from tasks.stage.settings import Section

Count = Annotated[int, Field(ge=1)]
UNITS = ("characters", "words")


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
        for unit in UNITS:
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least is not None and most is not None and most < least:
                raise ValueError(f"max_{unit} {most} is less than min_{unit} {least}")
        return self


def length_rules(bounds: Lengths, side: Side) -> list[Rule]:
    """Rules for the bounds set for one side, `too_few_<unit>` and `too_many_<unit>`; a missing side passes."""
    return [
        _rule(bound, unit, amount, side)
        for unit in UNITS
        for amount, key in (("few", "min"), ("many", "max"))
        if (bound := getattr(bounds, f"{key}_{unit}")) is not None
    ]


def _rule(bound: int, unit: str, amount: str, side: Side) -> Rule:
    def rule(batch: Batch) -> Finding:
        sizes = getattr(batch.side(side), unit)
        found = batch.side(side).there & (sizes < bound if amount == "few" else sizes > bound)
        return found, lambda row: of_side(side, Verdict(f"too_{amount}_{unit}", str(sizes[row]), str(bound)))

    return rule
