"""The slice of each test document, from the split that it was scored on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.clean.rules.language.settings import LanguageSettings
from tasks.formats.corpus import extra_columns, read_batches
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

LENGTHS = ("short", "middle", "long")
"""Thirds of the documents by bytes of text; equal lengths are in one slice."""

UNCERTAIN = "uncertain"
"""The language of a text about which the model is not sure."""

NONE = "(none)"
"""The slice of documents without a value."""

PLACE = re.compile(r" (?:row|line|part) \d+(?:: .*)?$", re.DOTALL)
"""What follows the file in the column `source`."""


def slices(folder: Path, by: str) -> list[str]:
    """The slice of each document of a split [documents], in corpus order.

    `by`: `language` (the most likely one of the text, ISO 639-1), `length` (LENGTHS), `source` (of a mixture its name,
    else the file), or any other column. Raises DataError if the corpus has no such column, or only nulls in it.
    """
    if by == "length":
        return _lengths(folder)
    if by == "language":
        return [name for batch in read_batches(folder, ["text"]) for name in _languages(batch.column("text"))]
    if by == "source" and "part" in extra_columns(folder):
        by = "part"
    values = [value for batch in read_batches(folder, [by]) for value in batch.column(by).to_pylist()]
    if values and all(value is None for value in values):
        raise DataError(f"{folder}: no document has a {by}")
    named = [NONE if value is None else str(value) for value in values]
    return [PLACE.sub("", name) for name in named] if by == "source" else named


def _lengths(folder: Path) -> list[str]:
    import pyarrow.compute as pc

    parts = [pc.binary_length(batch.column("text")).to_numpy() for batch in read_batches(folder, ["text"])]
    sizes = np.concatenate([np.empty(0, np.int64), *parts])
    if not len(sizes):
        return []
    shares = np.arange(1, len(LENGTHS)) / len(LENGTHS)
    bounds = np.quantile(sizes, shares, method="inverted_cdf")
    return [LENGTHS[place] for place in np.searchsorted(bounds, sizes, side="left").tolist()]


def _languages(column: "pa.Array") -> Iterator[str]:
    from tasks.clean.rules.language.identify import identify

    found = identify(column)
    sure = found.scores >= LanguageSettings.model_fields["threshold"].default
    for label, certain in zip(found.labels.tolist(), sure.tolist(), strict=True):
        yield found.languages[label] if certain and label >= 0 else UNCERTAIN
