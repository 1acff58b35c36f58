"""The classes of documents: names from the training split, sorted, and an index for each document."""

from pathlib import Path

import numpy as np

from tasks.formats.corpus import read_batches
from tasks.formats.tokens import Labels
from tasks.stage.errors import DataError


def write_labels(clean: Path, folders: dict[str, Path]) -> dict[str, dict[str, int]]:
    """Write the labels of every split; documents of each class by split, for the report.

    Raises DataError where a document has no label, one that the training split does not have, or there is one class.
    """
    found = {split: _labels(clean / split) for split in folders}
    names = sorted({label for label, _ in found["train"]})
    if len(names) < 2:
        raise DataError(f"{clean / 'train'}: one class only, {names[0]!r}; a classifier needs two")
    index = {name: number for number, name in enumerate(names)}
    counts = {name: dict.fromkeys(folders, 0) for name in names}
    for split, labels in found.items():
        for label, document in labels:
            if label not in index:
                raise DataError(
                    f"{clean / split}: the document {document} has the label {label!r}, which no document of the "
                    "training split has; give the class more documents, or drop it with clean.min_documents_per_label"
                )
            counts[label][split] += 1
        Labels(names, np.array([index[label] for label, _ in labels], np.int64)).write(folders[split])
    return counts


def _labels(folder: Path) -> list[tuple[str, str]]:
    """(label, id) of each document."""
    rows: list[tuple[str, str]] = []
    for batch in read_batches(folder, ["id", "label"]):
        for label, document in zip(batch.column("label").to_pylist(), batch.column("id").to_pylist(), strict=True):
            if label is None:
                raise DataError(f"{folder}: the document {document} has no label, which the task needs")
            rows.append((label, document))
    return rows
