"""Train, validation or test, by a hash of the seed and the group.

The split of a group depends on nothing else, so it stays the same when documents are added, and groups that share
text (the scenes of a play) are never on both sides. Test comes first on the line from 0 to 1 and validation behind it,
so that another size of validation leaves the test groups as they are.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from tasks.clean.settings import SplitSettings
from tasks.contract.errors import DataError, RecipeError
from tasks.contract.settings import recipe_path

SPLITS = ("train", "validation", "test")


def split_of(group: str, settings: SplitSettings) -> str:
    """The split of a group."""
    if group in settings.test_groups:
        return "test"
    if group in settings.validation_groups:
        return "validation"
    place = position(group, settings.seed)
    if place < settings.test:
        return "test"
    return "validation" if place < settings.test + settings.validation else "train"


def position(group: str, seed: int) -> float:
    """Where a group stands on the line from 0 to 1, evenly spread over groups."""
    digest = hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass
class SplitSize:
    """What fell into a split."""

    documents: int = 0
    bytes: int = 0
    """Of texts and targets."""
    groups: set[str] = field(default_factory=set)
    labels: Counter[str] = field(default_factory=Counter)
    """Documents of each class, where there are classes."""


def check_splits(sizes: dict[str, SplitSize], there: set[str], settings: SplitSettings, recipe: str) -> None:
    """Raises where a split that was asked for is empty (DataError), or a group that was named is not in the corpus.

    `there`: the named groups that are.
    """
    key = f"{recipe_path(recipe)}: clean.splits"
    for name in ("validation_groups", "test_groups"):
        if unknown := sorted(set(getattr(settings, name)) - there):
            seen = sorted(there.union(*(size.groups for size in sizes.values())))
            some = ", ".join(seen[:8]) + (", …" if len(seen) > 8 else "")
            raise RecipeError(
                f"{key}.{name}: no group {', '.join(map(repr, unknown))} in the corpus (there are: {some})"
            )
    groups = sum(len(size.groups) for size in sizes.values())
    for name in SPLITS:
        wanted = name == "train" or getattr(settings, name) > 0 or bool(getattr(settings, f"{name}_groups"))
        if wanted and not sizes[name].documents:
            where, remedy = (key, "lower validation and test") if name == "train" else (f"{key}.{name}", "raise it")
            others = ", ".join(f"{other} {len(sizes[other].groups)}" for other in SPLITS if other != name)
            few = f"{groups} group{'s' if groups != 1 else ''}"
            pin = "" if name == "train" else f", or name groups in clean.splits.{name}_groups"
            raise DataError(
                f"{where}: the {name} split would be empty: none of the {few} fell into it ({others}); "
                f"{remedy}, try another clean.splits.seed{pin}"
            )
