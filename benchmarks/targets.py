"""Figures with targets, and the table at the end of `make bench`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One row, printed when measured and again in the final table."""

    work: str
    reached: float
    unit: str
    asked: float
    most: bool = False
    """Whether `asked` is a maximum instead of a minimum."""

    @property
    def met(self) -> bool:
        """Whether the unrounded figure meets the target."""
        return self.reached <= self.asked if self.most else self.reached >= self.asked

    def __str__(self) -> str:
        limit = f"{'at most' if self.most else 'to reach'} {shown(self.asked)}"
        return f"  {self.work:<52} {shown(self.reached):>9} {self.unit:<11} {limit:<18}"


def shown(value: float) -> str:
    """A number in few digits, but enough that a missed target does not look met."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.5g}"


def table(targets: Sequence[Target]) -> list[str]:
    """Lines of the final table; the last says how many targets are met."""
    rows = [f"{target} {'met' if target.met else 'MISSED'}" for target in targets]
    return ["", "all figures with a target", *rows, f"{sum(t.met for t in targets)} of {len(targets)} met"]
