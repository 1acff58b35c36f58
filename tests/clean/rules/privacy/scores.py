"""Precision and recall of a search by kind, on labelled texts."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.clean.rules.privacy.labelled import Labelled, Span


@dataclass
class Score:
    """Counts for one kind. A labelled span is found if a match of its kind overlaps it."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    inexact: int = 0
    """Correct matches whose start or end differs from the label."""

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def score(texts: Iterable[Labelled], find: Callable[[str], Iterable[Span]]) -> dict[str, Score]:
    """Score `find` on the texts. Matches of `either` spans are neither right nor wrong."""
    scores: dict[str, Score] = defaultdict(Score)
    for one in texts:
        open_spans = list(one.spans)
        for span in find(one.text):
            kind = scores[span[2]]
            there = next((other for other in open_spans if other[2] == span[2] and overlap(span, other)), None)
            if there is not None:
                open_spans.remove(there)
                kind.right += 1
                kind.inexact += there != span
            elif not any(overlap(span, other) for other in one.either):
                kind.wrong += 1
        for span in open_spans:
            scores[span[2]].missed += 1
    return scores


def overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
