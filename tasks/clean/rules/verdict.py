"""What a rule is asked about, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sides:
    """A document after rewriting: its text, and what belongs to it in a corpus of pairs or of classes."""

    text: str
    target: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped, what was measured, and the threshold that it missed."""

    reason: str
    value: str
    threshold: str | None


Rule = Callable[[Sides], Verdict | None]
Side = Literal["text", "target"]


def about(side: Side, judge: Callable[[str], Verdict | None]) -> Rule:
    """A rule about one side; a document without it may stay. The reason says `target_…` where it is the target."""
    if side == "text":
        return lambda sides: judge(sides.text)

    def rule(sides: Sides) -> Verdict | None:
        found = None if sides.target is None else judge(sides.target)
        return found and of_side("target", found)

    return rule


def of_side(side: Side, verdict: Verdict) -> Verdict:
    """A verdict with a reason that tells of which side it is."""
    return verdict if side == "text" else Verdict(f"target_{verdict.reason}", verdict.value, verdict.threshold)
