"""Too short or too long, in characters (Unicode code points) or words (separated by white space)."""

from typing import TYPE_CHECKING, Literal

from tasks.clean.rules.verdict import Batch, Finding, Rule, Side, Verdict, of_side
from tasks.clean.settings import Lengths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["characters", "words"]


def length_rules(bounds: Lengths, side: Side) -> list[Rule]:
    """The bounds that are set for one side. A document without it meets them."""
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
