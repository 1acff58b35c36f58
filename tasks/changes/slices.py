"""The metric of both models on parts of the test text: by group, label, number of answers and length."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.changes.record import Record
from tasks.formats.corpus import read_shard
from tasks.stage.task import PAIRS

if TYPE_CHECKING:
    from tasks.compare.documents import Documents

SLICES = 12
"""Slices of a kind that are shown, the largest ones."""
QUARTERS = 4
"""Slices by length."""
SMALLEST = 2
"""Documents of a slice below which it says nothing."""

Members = dict[str, list[int]]
"""Name of a slice → its rows."""


@dataclass(frozen=True)
class Slice:
    """A metric on part of the documents."""

    kind: str
    name: str
    metric: str
    documents: int
    old: float
    new: float
    gain: float
    """Positive if the new model is better."""


def find_slices(
    before: "Documents", after: "Documents", metric: str, settings: Mapping[str, Any], record: Record
) -> Iterator[Slice]:
    """The slices, the largest ones of each kind first.

    `before`, `after`: scores of the same documents by the old and the new model; `record`: whose test text tells a
    length where the scores do not. A class is a slice by its accuracy, the share of its documents that were recognized.
    """
    import numpy as np

    from tasks.compare.statistics import statistic

    for kind, named in _kinds(after, record).items():
        own = [(name, np.asarray(rows)) for name, rows in named.items() if len(rows) >= SMALLEST]
        if len(own) < 2:
            continue  # one slice is the whole
        name_of = "accuracy" if kind == "label" else metric
        first, second = (statistic(each, name_of, settings) for each in (before, after))
        sign = 1.0 if first.less_is_better else -1.0
        for name, rows in own:
            old, new = (float(each.value(each.rows[rows].sum(axis=0))) for each in (first, second))
            yield Slice(kind, name, name_of, len(rows), old, new, sign * (old - new))


def _kinds(documents: "Documents", record: Record) -> dict[str, Members]:
    found = {"group": _largest(documents.groups)}
    if documents.task == "classification":
        found["label"] = _largest(documents.strings("label"))
        sizes = _text_bytes(record)
        if all(name in sizes for name in documents.ids):
            found["length"] = _quarters([sizes[name] for name in documents.ids], "bytes")
    elif documents.task in PAIRS:
        lengths = [len(text) for text in documents.strings("reference")]
        found["length"] = _quarters(lengths, "characters")
    else:
        if documents.task == "chat":
            found["answers"] = _largest([f"{turns:.0f}" for turns in documents.numbers("turns")])
        unit = "masked" if documents.task == "masked-lm" else "bytes"
        found["length"] = _quarters(documents.numbers(unit).tolist(), "masked tokens" if unit == "masked" else unit)
    return found


def _quarters(lengths: Sequence[float], unit: str) -> Members:
    import numpy as np

    edges = np.quantile(lengths, np.linspace(0, 1, QUARTERS + 1))
    found: Members = {}
    for row, place in enumerate(np.searchsorted(edges[1:-1], lengths).tolist()):
        name = f"{place + 1}. quarter, {edges[place]:,.0f} to {edges[place + 1]:,.0f} {unit}"
        found.setdefault(name, []).append(row)
    return {name: found[name] for name in sorted(found)}


def _text_bytes(record: Record) -> dict[str, int]:
    """Id → bytes of text of the test documents; empty if the text is not at hand."""
    return {
        name: len(text.encode("utf-8"))
        for path in record.corpora.get("test", ())
        for batch in read_shard(path, ["id", "text"])
        for name, text in zip(*(batch.column(column).to_pylist() for column in ("id", "text")), strict=True)
    }


def _largest(names: Sequence[str]) -> Members:
    members: Members = {}
    for row, name in enumerate(names):
        members.setdefault(str(name), []).append(row)
    return dict(sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:SLICES])
