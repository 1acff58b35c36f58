"""Measures a profile in one pass over the splits, row groups in parallel."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.clean.rewrite import measured
from tasks.clean.settings import CleanSettings
from tasks.clean.splits import SPLITS
from tasks.formats.conversation import count_turns
from tasks.formats.corpus import read_row_group, row_groups
from tasks.formats.mixture import read_weights, shares
from tasks.formats.tokens import Tokens, read_parts
from tasks.stage.errors import DataError
from tasks.stage.run import DATA, Drop
from tasks.workers.parallel_map import parallel_map, processes_worth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = ("text", "target", "rejected")
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
LONGEST = 5
"""Number of longest documents listed by id."""


@dataclass
class Side:
    """The texts, the targets or the rejected answers of some documents."""

    characters: "list[NDArray[np.int64]]" = field(default_factory=list)
    words: "list[NDArray[np.int64]]" = field(default_factory=list)
    """Per text, in chunks [documents]."""
    languages: Counter[str] = field(default_factory=Counter)
    """Documents by their most likely language."""

    def __add__(self, other: "Side") -> "Side":
        return Side(self.characters + other.characters, self.words + other.words, self.languages + other.languages)

    def lengths(self, unit: str) -> "NDArray[np.int64]":
        """Lengths in `characters` or `words` [documents]."""
        import numpy as np

        return np.concatenate([np.empty(0, np.int64), *getattr(self, unit)])

    def percentiles(self, unit: str) -> list[int]:
        """PERCENTILES of the lengths, each an actual length; empty if there are no documents."""
        import numpy as np

        lengths = self.lengths(unit)
        return np.percentile(lengths, PERCENTILES, method="lower").astype(int).tolist() if len(lengths) else []


@dataclass
class Part:
    """Some documents of a split."""

    documents: int = 0
    bytes: int = 0
    sides: dict[str, Side] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    turns: "list[NDArray[np.int64]]" = field(default_factory=list)
    """Turns of each conversation, the system prompt included, in chunks [documents]; empty for other documents."""
    longest: list[tuple[int, str]] = field(default_factory=list)
    """Characters and id of the longest texts, longest first."""

    def words(self, side: str) -> int:
        """Total words of all texts or targets."""
        return int(self.sides[side].lengths("words").sum()) if side in self.sides else 0

    def turn_percentiles(self) -> list[int]:
        """PERCENTILES of the turns of a conversation."""
        import numpy as np

        turns = np.concatenate(self.turns)
        return np.percentile(turns, PERCENTILES, method="lower").astype(int).tolist() if len(turns) else []

    def __add__(self, other: "Part") -> "Part":
        sides = {side: self.sides.get(side, Side()) + other.sides.get(side, Side()) for side in SIDES}
        longest = sorted(self.longest + other.longest, key=lambda one: (-one[0], one[1]))[:LONGEST]
        return Part(
            self.documents + other.documents,
            self.bytes + other.bytes,
            {name: side for name, side in sides.items() if side.words},
            self.labels + other.labels,
            self.turns + other.turns,
            longest,
        )


@dataclass(frozen=True)
class Profile:
    """A corpus after cleaning, and what cleaning removed."""

    recipe: str
    received: dict[str, int]
    """Documents and bytes before cleaning."""
    splits: dict[str, Part]
    dropped: list[Drop]
    """By reason, most frequent first."""
    details: dict[str, Any]
    """Details from the report of `clean`: `funnel`, `rewritten`, `lines_dropped`, `personal_data`."""
    funnel: Path
    """Path of the plot drawn by `clean`."""
    epochs: dict[str, tuple[int, float]]
    """Training tokens, and how often training reads them, of each source of a mixture and of `all`; empty if these
    documents are not tokenized yet, or if `train.epochs` says so already: without a mixture."""

    @cached_property
    def whole(self) -> Part:
        """All splits together."""
        return sum(self.splits.values(), Part())


def measure(recipe: str, tokens_read: int | None = None, epochs: float | None = None) -> Profile:
    """Profile the outputs of stage `clean`. Raises DataError if it has not run or its outputs are damaged.

    `tokens_read`: how many tokens the training reads; None if it reads `epochs` passes.
    """
    folder = DATA / recipe / "clean"
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'report.json'}: cannot read the report of stage clean: {error}") from error
    dropped = [Drop(**drop) for drop in report["dropped"]]
    splits = {name: _split(folder / name) for name in SPLITS}
    read = _epochs(recipe, splits["train"].documents, tokens_read, epochs)
    return Profile(recipe, report["received"], splits, dropped, report["details"], folder / "funnel.png", read)


def _epochs(
    recipe: str, documents: int, tokens_read: float | None, passes: float | None
) -> dict[str, tuple[int, float]]:
    folder = DATA / recipe / "tokens" / "train"
    if not (folder / "index.json").is_file():
        return {}
    tokens = Tokens.open(folder)
    if tokens.index.documents != documents or not len(tokens):
        return {}
    sizes = {name: int(tokens.starts[own.stop] - tokens.starts[own.start]) for name, own in read_parts(folder, tokens)}
    weights = read_weights(recipe)
    if tokens_read is None and sizes and passes is not None:
        tokens_read = passes * sum(size * (weights[name].epochs or 1) for name, size in sizes.items())
    if tokens_read is None:
        return {}
    own = shares(weights, sizes) if sizes else {}
    found = {name: (size, float(own[name]) * tokens_read / size) for name, size in sizes.items()}
    return found | {"all": (len(tokens), tokens_read / len(tokens))}


def _split(folder: Path) -> Part:
    places = row_groups(folder)
    processes = processes_worth(sum(size for *_, size in places), len(places))
    return sum(parallel_map(measure_row_group, [place[:2] for place in places], processes), Part())


def measure_row_group(place: tuple[Path, int]) -> Part:
    """Measure the documents of one row group."""
    from tasks.clean.rules.language.identify import identify
    from tasks.formats.corpus import text_bytes

    batch = read_row_group(*place)
    sides = {}
    for name in SIDES:
        if name not in batch.schema.names:
            continue
        column = batch.column(name).drop_null()
        if len(column):
            sizes, _ = measured(column, CleanSettings())
            found = identify(column)
            languages = Counter(found.languages[label] for label in found.labels.tolist() if label >= 0)
            sides[name] = Side([sizes.characters], [sizes.words], languages)
    return Part(
        batch.num_rows,
        int(text_bytes(batch).sum()),
        sides,
        Counter(batch.column("label").drop_null().to_pylist()),
        [count_turns(batch.column("messages"))] if "messages" in batch.schema.names else [],
        _longest(batch.column("id").to_pylist(), sides["text"].characters[0].tolist()) if "text" in sides else [],
    )


def _longest(ids: Sequence[str], characters: Sequence[int]) -> list[tuple[int, str]]:
    return sorted(zip(characters, ids, strict=True), key=lambda one: (-one[0], one[1]))[:LONGEST]
