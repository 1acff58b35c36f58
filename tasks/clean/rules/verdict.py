"""What a rule says of a document."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped, what was measured, and the threshold that it missed."""

    reason: str
    value: str
    threshold: str


Rule = Callable[[str], Verdict | None]
