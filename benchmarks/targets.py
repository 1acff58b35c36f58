"""A figure beside what it has to reach, and the table of all of them with which `make bench` ends."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One row. Printed where it was measured, and again in the table."""

    work: str
    reached: float
    unit: str
    asked: float
    most: bool = False
    """Whether `asked` is the most that it may be, not the least."""

    @property
    def met(self) -> bool:
        """As measured; nothing is rounded."""
        return self.reached <= self.asked if self.most else self.reached >= self.asked

    def __str__(self) -> str:
        return f"  {self.work:<52} {shown(self.reached):>9} {self.unit:<11} {self.limit:<18}"

    @property
    def limit(self) -> str:
        """In words."""
        return f"at most {shown(self.asked)}" if self.most else f"to reach {shown(self.asked)}"


def shown(value: float) -> str:
    """Few digits, but never so few that what falls short looks as if it were reached."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.5g}"


def table(targets: Sequence[Target]) -> list[str]:
    """Lines, the last of which says how many are met."""
    rows = [f"{target} {'met' if target.met else 'MISSED'}" for target in targets]
    return ["", "all figures with a target", *rows, f"{sum(t.met for t in targets)} of {len(targets)} met"]
