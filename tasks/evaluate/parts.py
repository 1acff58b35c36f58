"""The scores of each source of a mixture, beside the whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.exam import Row
from tasks.formats.corpus import extra_columns, read_batches


def read_parts(test: Path) -> list[str]:
    """The source of each test document, in corpus order; empty if the corpus is no mixture."""
    if "part" not in extra_columns(test):
        return []
    return [name for batch in read_batches(test, ["part"]) for name in batch.column("part").to_pylist()]


def columns_with_part(columns: Mapping[str, type], parts: Sequence[str]) -> dict[str, type]:
    """The columns of scores.parquet: for a mixture `part` comes first."""
    return ({"part": str} if parts else {}) | dict(columns)


def rows_with_part(rows: Iterable[Row], parts: Sequence[str]) -> Iterator[Row]:
    """The rows of all test documents, with their source if the corpus is a mixture."""
    return ({**row, "part": part} for row, part in zip(rows, parts, strict=True)) if parts else iter(rows)


def by_part(
    parts: Sequence[str], measure: Callable[[NDArray[np.int64]], Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """For metrics.json: `by_part`, the number of documents and the metrics of each source; empty without sources.

    `measure`: the metrics of the documents with these numbers.
    """
    named = np.array(parts)
    found = {name: np.flatnonzero(named == name) for name in dict.fromkeys(parts)}
    table = {name: {"documents": len(own), **measure(own)} for name, own in found.items()}
    return {"by_part": table} if table else {}
