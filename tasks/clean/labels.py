"""Documents per label, and whether a classifier can be trained and scored on them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import recipe_path

LEAST = 2
"""Minimum documents per label: one for training, one for scoring."""
NAMED = 5
"""Maximum number of labels named in an error."""


def rare_labels(corpus: Path, least: int, recipe: str) -> dict[str, int]:
    """Labels with fewer than `least` documents and their counts, sorted by label; reads only the label column.

    Raises RecipeError if the corpus has no labels.
    """
    found: Counter[str] = Counter()
    for batch in read_batches(corpus, ("label",)):
        found.update(label for label in batch.column("label").to_pylist() if label is not None)
    if not found:
        key = f"{recipe_path(recipe)}: clean.min_documents_per_label"
        raise RecipeError(f"{key}: no document of {corpus} has a label")
    return {label: count for label, count in sorted(found.items()) if count < least}


def documents_by_label(splits: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Turns documents per split and label into documents per label and split, sorted by label."""
    labels = sorted(set().union(*splits.values()))
    return {label: {name: counts.get(label, 0) for name, counts in splits.items()} for label in labels}


def check_labels(labels: Mapping[str, Mapping[str, int]], recipe: str) -> None:
    """Raises DataError for labels with fewer than two documents or none in the training split."""
    poor = {label: splits for label, splits in labels.items() if sum(splits.values()) < LEAST or not splits["train"]}
    if not poor:
        return
    told = [
        f"{label!r} has {sum(splits.values())} ({', '.join(f'{name} {count}' for name, count in splits.items())})"
        for label, splits in list(poor.items())[:NAMED]
    ]
    more = f", and {len(poor) - NAMED} more" if len(poor) > NAMED else ""
    raise DataError(
        f"{recipe_path(recipe)}: clean.splits: every label needs at least {LEAST} documents, one of them in train, but "
        f"{'; '.join(told)}{more}; drop such labels with clean.min_documents_per_label or try another clean.splits.seed"
    )
