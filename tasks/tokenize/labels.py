"""The classes of documents: sorted names from the training split, and an index per document."""

from pathlib import Path

import numpy as np

from tasks.formats.corpus import read_batches
from tasks.formats.tokens import Labels
from tasks.stage.errors import DataError


def write_labels(clean: Path, folders: dict[str, Path]) -> dict[str, dict[str, int]]:
    """Write the labels of every split; returns the number of documents per class and split, for the report.

    Raises DataError for a missing label, a label that is not in the training split, or a single class.
    """
    found = {split: _labels(clean / split) for split in folders}
    names = sorted({label for label, _ in found["train"]})
    if len(names) < 2:
        raise DataError(f"{clean / 'train'}: only one class, {names[0]!r}; a classifier needs at least two")
    index = {name: number for number, name in enumerate(names)}
    counts = {name: dict.fromkeys(folders, 0) for name in names}
    for split, labels in found.items():
        for label, document in labels:
            if label not in index:
                raise DataError(
                    f"{clean / split}: document {document} has the label {label!r}, which is not in the training "
                    "split; add documents of this class, or drop it with clean.min_documents_per_label"
                )
            counts[label][split] += 1
        Labels(names, np.array([index[label] for label, _ in labels], np.int64)).write(folders[split])
    return counts


def _labels(folder: Path) -> list[tuple[str, str]]:
    """Label and id of each document."""
    rows: list[tuple[str, str]] = []
    for batch in read_batches(folder, ["id", "label"]):
        for label, document in zip(batch.column("label").to_pylist(), batch.column("id").to_pylist(), strict=True):
            if label is None:
                raise DataError(f"{folder}: document {document} has no label, which the task requires")
            rows.append((label, document))
    return rows
