"""Assigns groups to train, validation or test by a hash of the seed and the group.

The split of a group depends on nothing else: it stays the same when documents are added, and a group (the scenes of a
play) is never divided. On the line from 0 to 1 test comes first and validation next, so changing the size of validation
leaves the test groups unchanged.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.clean.settings import SplitSettings
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import recipe_path

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
NAMED = 50
"""Group names listed in the report per split."""


def split_of(group: str, settings: SplitSettings) -> str:
    """The split of a group."""
    if group in settings.test_groups:
        return "test"
    if group in settings.validation_groups:
        return "validation"
    digest = hashlib.blake2b(f"{settings.seed}:{group}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < settings.test:
        return "test"
    return "validation" if place < settings.test + settings.validation else "train"


def splits_of(documents: "pa.RecordBatch", settings: SplitSettings) -> "pa.Array":
    """The splits of documents of one source [documents]: by their group, or where the column `split` says so."""
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = documents.column("group").dictionary_encode()
    by_group = [split_of(group, settings) for group in groups.dictionary.to_pylist()]
    splits = pa.array(by_group, pa.string()).take(groups.indices)
    if "split" in documents.schema.names:
        splits = pc.coalesce(documents.column("split").cast(pa.string()), splits)
    return splits


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


class Groups:
    """Counts distinct names in 8 bytes each, by 64-bit hashes; keeps the first few names."""

    def __init__(self) -> None:
        self.first: list[str] = []
        """The first names, at most NAMED."""
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, names: Collection[str]) -> None:
        """Add names, which may repeat."""
        import numpy as np

        self.first = sorted({*self.first, *heapq.nsmallest(NAMED, names)})[:NAMED]
        self._hashes.append(np.frombuffer(b"".join(map(_digest, names)), np.uint64))

    def __len__(self) -> int:
        return len(self._all())

    def shared(self, other: "Groups") -> set[bytes]:
        """The hashes of names that both have."""
        import numpy as np

        return {both.tobytes() for both in np.intersect1d(self._all(), other._all(), assume_unique=True)}

    @staticmethod
    def among(name: str, hashes: set[bytes]) -> bool:
        """Whether a name has one of these hashes."""
        return _digest(name) in hashes

    def _all(self) -> "NDArray[np.uint64]":
        import numpy as np

        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._hashes]))


@dataclass
class SplitSize:
    """The documents of a split, in numbers."""

    documents: int = 0
    bytes: int = 0
    """Bytes of texts and targets."""
    groups: Groups = field(default_factory=Groups)
    labels: Counter[str] = field(default_factory=Counter)
    """Documents per class, for classification."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Dropped documents of the split, by reason."""


def check_splits(
    sizes: dict[str, SplitSize], there: set[str], settings: Mapping[str, SplitSettings], recipe: str
) -> None:
    """Raises DataError if a wanted split is empty, RecipeError if a named group is not in the corpus.

    `there`: the named groups in the corpus. `settings`: by their section of the recipe, such as `clean.sources.bible`.
    """
    key = f"{recipe_path(recipe)}: clean.splits"
    for section, own in settings.items():
        for name in ("validation_groups", "test_groups"):
            if unknown := sorted(set(getattr(own, name)) - there):
                seen = sorted(there.union(*(size.groups.first for size in sizes.values())))
                some = ", ".join(seen[:8]) + (", …" if len(seen) > 8 else "")
                raise RecipeError(
                    f"{recipe_path(recipe)}: {section}.splits.{name}: no group {', '.join(map(repr, unknown))} in the "
                    f"corpus (there are: {some})"
                )
    groups = sum(len(size.groups) for size in sizes.values())
    for name in SPLITS:
        asked = (getattr(own, name) or getattr(own, f"{name}_groups") for own in settings.values())
        wanted = name == "train" or any(asked)
        if wanted and not sizes[name].documents:
            if gone := sizes[name].dropped:
                reasons = ", ".join(f"{reason} {count:,}" for reason, count in gone.most_common())
                raise DataError(
                    f"{key}: the {name} split would be empty: all {gone.total():,} documents in it were dropped "
                    f"({reasons}); change the rules under clean, or clean.splits.seed"
                )
            where, remedy = (key, "lower validation and test") if name == "train" else (f"{key}.{name}", "raise it")
            others = ", ".join(f"{other} {len(sizes[other].groups)}" for other in SPLITS if other != name)
            few = f"{groups} group{'s' if groups != 1 else ''}"
            pin = "" if name == "train" else f", or name groups in clean.splits.{name}_groups"
            raise DataError(
                f"{where}: the {name} split would be empty: none of the {few} fell into it ({others}); "
                f"{remedy}, try another clean.splits.seed{pin}"
            )
