"""The sources of a mixture in training: which of them each block or batch comes from.

`weight` is a share of the training tokens, and is met by the order of the blocks: among the first n blocks, each source
has its share of n, less than one block more or less. The order is a pure function of the position, so that resuming
needs one integer; each source goes through its own documents, pass by pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from tasks.formats.mixture import Weighted, shares
from tasks.stage.errors import RecipeError
from tasks.train.batches import Batch, Batches


@dataclass(frozen=True)
class Source:
    """A source with documents in the training split."""

    name: str
    documents: range
    """Their numbers in the split."""
    share: Fraction
    """Of the training tokens; those of all sources add up to 1."""
    epochs: float | None
    """How often one pass of the mixture reads it; None if it has a weight."""


def sources_of(
    parts: Sequence[tuple[str, range]], tokens: Sequence[int], weights: Mapping[str, Weighted], where: str
) -> list[Source]:
    """The sources of a mixture with their shares; empty if nothing but their size says how much each counts.

    `parts`: name and documents of each in the training split, `tokens` the tokens of each. Raises RecipeError for a
    weight on a source without documents.
    """
    if all(own.weight is None and own.epochs is None for own in weights.values()):
        return []
    there = [name for name, _ in parts]
    for number, (name, own) in enumerate(weights.items()):
        if name not in there and (key := "weight" if own.weight else "epochs" if own.epochs else ""):
            raise RecipeError(
                f"{where}: ingest.sources.{number}.{key}: no document of {name} is left to train on; check "
                "clean/report.json, or remove the source"
            )
    by_epochs = any(own.epochs is not None for own in weights.values())
    share = shares(weights, dict(zip(there, tokens, strict=True)))
    return [
        Source(name, documents, share[name], (weights[name].epochs or 1) if by_epochs else None)
        for name, documents in parts
    ]


class Turns(ABC):
    """Which source each position belongs to, and the position in that source."""

    def __init__(self, shares: Sequence[Fraction]) -> None:
        self.shares = shares
        self.taken = [0] * len(shares)
        """Positions that each source has so far."""
        self._order: list[tuple[int, int]] = []

    @abstractmethod
    def _next(self) -> int:
        """The source of the next position."""

    def at(self, position: int) -> tuple[int, int]:
        """The source at a position, and how many positions before it that source has."""
        while len(self._order) <= position:
            source = self._next()
            self._order.append((source, self.taken[source]))
            self.taken[source] += 1
        return self._order[position]

    def counts(self, positions: int) -> list[int]:
        """How many of the first `positions` each source has."""
        if positions:
            self.at(positions - 1)
        found = [0] * len(self.shares)
        for source, _ in self._order[:positions]:
            found[source] += 1
        return found


class EqualTurns(Turns):
    """Positions of equal size: at most 1 - 1 / (2 n - 2) positions from the share of any of n sources, at any time.

    Tijdeman 1980, "The chairman assignment problem", Discrete Mathematics 32, theorem 1: of the sources that are due,
    take the one whose time ends first.
    """

    def _next(self) -> int:
        slack = Fraction(1, max(2 * len(self.shares) - 2, 1))
        time = len(self._order) + 1
        behind = [share * time - taken for share, taken in zip(self.shares, self.taken, strict=True)]
        due = [source for source, some in enumerate(behind) if some >= slack or len(self.shares) == 1]
        return min(due, key=lambda source: ((1 - slack - behind[source]) / self.shares[source], source))


class SizedTurns(Turns):
    """Batches of different sizes: the next one comes from the source that is furthest behind its share."""

    def __init__(self, shares: Sequence[Fraction], sizes: Sequence[Callable[[int], int]]) -> None:
        super().__init__(shares)
        self.tokens = [0] * len(shares)
        self._sizes = sizes

    def _next(self) -> int:
        total = sum(self.tokens)
        source = max(
            range(len(self.shares)),
            key=lambda number: (self.shares[number] * total - self.tokens[number], self.shares[number], -number),
        )
        self.tokens[source] += self._sizes[source](self.taken[source])
        return source


class MixedBatches(Batches):
    """Batches of documents, each from one source, in turns by the tokens in them."""

    def __init__(self, sources: Sequence[Source], batches: Sequence[Batches]) -> None:
        self.sources, self.batches = sources, batches
        self.turns = SizedTurns([source.share for source in sources], [some.size for some in batches])
        self.width = max(some.width for some in batches)
        self.count = pass_of(sources, [some.count for some in batches])

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        source, number = self.turns.at(position)
        return self.batches[source].batch(number)

    def size(self, position: int) -> int:
        """See `Batches.size`."""
        source, number = self.turns.at(position)
        return self.batches[source].size(number)

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """See `Batches.seen`."""
        counts = self.turns.counts(positions)
        return told(self.sources, counts, [some.count for some in self.batches])


def pass_of(sources: Sequence[Source], counts: Sequence[int]) -> int:
    """Positions in one pass of a mixture: all of its sources have together, each as often as its epochs say."""
    return max(round(sum(count * (source.epochs or 1) for source, count in zip(sources, counts, strict=True))), 1)


def by_epochs(sources: Sequence[Source], counts: Sequence[int]) -> list[Source]:
    """The sources with their shares of equal blocks, so that one pass reads each exactly as often as its epochs say.

    `counts`: the blocks in one pass over each, which are not quite proportional to its tokens.
    """
    amounts = [Fraction(str(source.epochs or 0)) * count for source, count in zip(sources, counts, strict=True)]
    if not all(amounts):
        return list(sources)
    return [replace(source, share=amount / sum(amounts)) for source, amount in zip(sources, amounts, strict=True)]


def told(sources: Sequence[Source], counts: Sequence[int], per_pass: Sequence[int]) -> dict[str, dict[str, float]]:
    """For the report: the share of each source, and how often training went through it."""
    return {
        source.name: {"share": round(float(source.share), 6), "epochs": round(count / size, 3)}
        for source, count, size in zip(sources, counts, per_pass, strict=True)
    }
