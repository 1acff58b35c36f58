"""The scores of one model, a row per test document, and whether two models were scored on the same documents."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "causal-lm": ("bytes", "tokens", "loss"),
    "translation": ("prediction", "reference"),
    "summarization": ("reference", "rouge1", "rouge2", "rougeLsum"),
    "masked-lm": ("masked", "right", "loss"),
    "classification": ("label", "predicted"),
    "chat": ("bytes", "loss", "turns", "reference", "chrf", "rougeL", "exact_match", "ended"),
    "preference": ("correct", "margin", "length_difference", "bytes", "loss"),
}
"""What the metrics of a task are computed from."""

SAME = {
    "bits_per_byte": ("bytes",),
    "perplexity": ("bytes", "tokens"),
    "loss": ("bytes", "tokens"),
    "pseudo_perplexity": ("masked",),
    "masked_accuracy": ("masked",),
    "bleu": ("reference",),
    "chrf": ("reference",),
    "rouge1": ("reference",),
    "rouge2": ("reference",),
    "rougeLsum": ("reference",),
    "rougeL": ("reference",),
    "exact_match": ("reference",),
    "ended": ("reference",),
    "macro_f1": ("label",),
    "accuracy": ("label",),
    "preference_accuracy": ("length_difference", "bytes"),
    "preference_margin": ("length_difference", "bytes"),
    "macro_precision": ("label",),
    "macro_recall": ("label",),
}
"""The columns that do not depend on the model: two models are compared by a metric only if these are equal."""

SOME = ("chrf", "rougeL", "exact_match", "ended")
"""Chat: the columns that are null where no answer was generated (`evaluate.generated`)."""

OF_TOKENS = ("tokens", "masked")
"""Counts that depend on the tokenizer."""


@dataclass(frozen=True)
class Documents:
    """One model's scores, in corpus order."""

    task: str
    table: "pa.Table"
    """The rows of scores.parquet."""
    path: Path
    """Where they were read from, for messages."""

    @cached_property
    def ids(self) -> list[str]:
        """Ids [documents]."""
        return self.table.column("id").to_pylist()

    @cached_property
    def groups(self) -> list[str]:
        """What the splits keep together [documents]."""
        return self.table.column("group").to_pylist()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column of numbers [documents]. Raises DataError if a value is missing or not finite."""
        values = self.table.column(column).to_numpy().astype(np.float64)
        if len(bad := np.flatnonzero(~np.isfinite(values))):
            raise DataError(f"{self.path}: document {self.ids[bad[0]]}: {column} is missing or not finite")
        return values

    def some(self, column: str) -> NDArray[np.float64]:
        """A column of numbers [documents], nan where there is none. Raises DataError if a value is not finite."""
        values = self.table.column(column).to_numpy().astype(np.float64)
        there = self.table.column(column).is_valid().to_numpy()
        if len(bad := np.flatnonzero(~np.isfinite(values) & there)):
            raise DataError(f"{self.path}: document {self.ids[bad[0]]}: {column} is not finite")
        return values

    def strings(self, column: str) -> list[str]:
        """A column of strings [documents]. Raises DataError if a value is missing."""
        values = self.table.column(column).to_pylist()
        if None in values:
            raise DataError(f"{self.path}: document {self.ids[values.index(None)]}: {column} is missing")
        return values


def read_documents(path: Path, task: str) -> Documents:
    """Read a scores.parquet. Raises DataError if it is damaged, has no documents, or lacks a column of the task."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found; the stage evaluate writes it") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a valid Parquet file: {error}") from error
    if missing := [name for name in ("id", "group", *COLUMNS[task]) if name not in table.column_names]:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; the scores of {task} have it, this file has "
            f"{', '.join(table.column_names)}"
        )
    if not table.num_rows:
        raise DataError(f"{path}: no documents")
    documents = Documents(task, table, path)
    for name in ("id", "group"):
        documents.strings(name)
    return documents


def require_same(new: Documents, old: Documents, metric: str) -> None:
    """Raises DataError unless both models were scored on the same documents, in the same order, with the same text."""
    if new.task != old.task:
        raise DataError(f"{old.path}: scores of {old.task} cannot be compared with scores of {new.task}")
    if new.ids != old.ids:
        raise DataError(f"{old.path}: {_other_documents(new, old)}; score both models on the same test split")
    for column in SAME[metric]:
        ours, theirs = new.table.column(column), old.table.column(column)
        if not ours.equals(theirs):
            _raise_differing(new, old, metric, column)


def _other_documents(new: Documents, old: Documents) -> str:
    ours, theirs = set(new.ids), set(old.ids)
    if only := [name for name in new.ids if name not in theirs]:
        return f"lacks {len(only):,} of the {len(new):,} documents of {new.path}, such as {only[0]}"
    if only := [name for name in old.ids if name not in ours]:
        return f"has {len(only):,} documents that {new.path} lacks, such as {only[0]}"
    if len(new) != len(old):
        return f"has {len(old):,} rows, but {new.path} has {len(new):,} with the same ids"
    at = next(number for number, (our, their) in enumerate(zip(new.ids, old.ids, strict=True)) if our != their)
    return f"has the documents of {new.path} in another order: row {at + 1} is {old.ids[at]} instead of {new.ids[at]}"


def _raise_differing(new: Documents, old: Documents, metric: str, column: str) -> None:
    pairs = zip(new.ids, new.table.column(column).to_pylist(), old.table.column(column).to_pylist(), strict=True)
    for name, our, their in pairs:
        if our == their:
            continue
        if column in OF_TOKENS:
            raise DataError(
                f"{old.path}: document {name} has {their} tokens ({column}), but {our} in {new.path}: the models have "
                f"different tokenizers, and {metric} is per token"
            )
        if column == "bytes":
            raise DataError(f"{old.path}: document {name} has {their} bytes, but {our} in {new.path}: other text")
        raise DataError(f"{old.path}: document {name} has another {column} than in {new.path}: other text")
