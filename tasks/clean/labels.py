"""Classes of a corpus: how many documents each has, and whether a classifier can be trained and scored on them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import recipe_path

LEAST = 2
"""Documents of a label: one to train on and one to score on."""
NAMED = 5
"""Labels that an error names."""


def rare_labels(corpus: Path, least: int, recipe: str) -> dict[str, int]:
    """Labels of fewer documents than `least`, read from the column of labels alone, in their order, with their counts.

    Raises RecipeError where the corpus has none.
    """
    found: Counter[str] = Counter()
    for batch in read_batches(corpus, ("label",)):
        found.update(label for label in batch.column("label").to_pylist() if label is not None)
    if not found:
        key = f"{recipe_path(recipe)}: clean.min_documents_per_label"
        raise RecipeError(f"{key}: no document of {corpus} has a label")
    return {label: count for label, count in sorted(found.items()) if count < least}


def documents_by_label(splits: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Labels in order, each with its documents in every split; `splits` has the documents of each label in a split."""
    labels = sorted(set().union(*splits.values()))
    return {label: {name: counts.get(label, 0) for name, counts in splits.items()} for label in labels}


def check_labels(labels: Mapping[str, Mapping[str, int]], recipe: str) -> None:
    """Raises DataError for labels with fewer than two documents, or with none to train on."""
    poor = {label: splits for label, splits in labels.items() if sum(splits.values()) < LEAST or not splits["train"]}
    if not poor:
        return
    told = [
        f"{label!r} has {sum(splits.values())} ({', '.join(f'{name} {count}' for name, count in splits.items())})"
        for label, splits in list(poor.items())[:NAMED]
    ]
    more = f", and {len(poor) - NAMED} more" if len(poor) > NAMED else ""
    raise DataError(
        f"{recipe_path(recipe)}: clean.splits: every label needs {LEAST} documents, and one of them to train on, but "
        f"{'; '.join(told)}{more}; drop such labels with clean.min_documents_per_label, or try another splits.seed"
    )
