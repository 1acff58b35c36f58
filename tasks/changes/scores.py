"""Scores side by side: metrics with their paired difference, slices, and the documents that changed most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.comparable import OF_TOKENS, Basis, find_basis
from tasks.changes.record import METRICS, SCORES, Record
from tasks.changes.texts import find_texts
from tasks.stage.errors import DataError
from tasks.stage.redact import redact
from tasks.stage.scratch import scratch
from tasks.stage.task import FAMILIES, LESS_IS_BETTER, PAIRS

if TYPE_CHECKING:
    import polars as pl

    from tasks.compare.documents import Documents
    from tasks.compare.verdict import Comparison

EXTREMES = 5
"""Documents that are shown of those that became most better, and of those that became most worse."""
OUTPUT = 600
"""Characters of an output that are shown."""
SLICES = 12
"""Slices of a kind that are shown, the largest ones."""
QUARTERS = 4
"""Slices by length."""
SMALLEST = 2
"""Documents of a slice below which it says nothing."""


@dataclass(frozen=True)
class Metric:
    """A metric in both records."""

    name: str
    less_is_better: bool
    old: float | None
    """On the whole test text of its own evaluation; None if it is not recorded."""
    new: float | None
    comparison: "Comparison | None" = None
    """The paired difference; None if the two cannot be compared by this metric."""
    note: str = ""
    """Why they cannot."""


@dataclass(frozen=True)
class Slice:
    """The headline metric on part of the documents."""

    kind: str
    name: str
    documents: int
    old: float
    new: float
    gain: float
    """Positive if the new model is better."""


@dataclass(frozen=True)
class Extreme:
    """A document that became much better or worse."""

    id: str
    group: str
    measure: str
    old: float
    new: float
    outputs: tuple[tuple[str, str], ...]
    """What was put in and what came out: ("old", …), ("new", …), ("reference", …), ("text", …)."""


@dataclass(frozen=True)
class Scores:
    """All that can be said of the scores."""

    basis: str
    """On which documents the two are compared, or why they are not."""
    metrics: tuple[Metric, ...] = ()
    headline: str = ""
    slices: tuple[Slice, ...] = ()
    better: tuple[Extreme, ...] = ()
    worse: tuple[Extreme, ...] = ()
    unchanged: int = 0
    """Documents with the same score in both."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """The score of a single document, from scores.parquet."""

    column: str
    less_is_better: bool


MEASURES = {
    "causal-lm": Measure("bits_per_byte", True),
    "masked-lm": Measure("pseudo_perplexity", True),
    "translation": Measure("chrf", False),
    "summarization": Measure("rougeLsum", False),
    "classification": Measure("label_probability", False),
}


def find_scores(old: Record, new: Record, task: str) -> Scores:
    """Compare the scores of two records of one task. Raises DataError for a damaged file."""
    basis = find_basis(old, new)
    values = [record.read_json(METRICS) or _from_mlflow(record) for record in (old, new)]
    missing = [record.name for record in (old, new) if SCORES not in record.files]
    if not basis.refused and missing:
        basis = Basis(refused=f"the scores of single documents are not recorded for {' and '.join(missing)}")
    if basis.refused:
        return Scores(basis.refused, tuple(_metrics(task, values, {}, basis)))
    with scratch("changes") as folder:
        pairs = [
            _paired_file(record, basis, folder / f"{side}.parquet") for side, record in (("old", old), ("new", new))
        ]
        return _compare(old, new, task, values, basis, pairs)


def _compare(
    old: Record, new: Record, task: str, values: list[dict[str, Any]], basis: Basis, paths: list[Path]
) -> Scores:
    from tasks.compare.documents import read_documents
    from tasks.compare.verdict import compare

    before, after = (read_documents(path, task) for path in paths)
    settings = dict((new.settings or {}).get("evaluate") or {})
    names = [name for name in FAMILIES[task].metrics if not (basis.tokens_differ and name in OF_TOKENS)]
    found = {name: compare(after, before, name, settings) for name in names}
    metrics = tuple(_metrics(task, values, found, basis))
    headline = next(iter(names), "")
    slices = tuple(_slices(before, after, task, headline, settings)) if headline else ()
    better, worse, same = _extremes(old, new, task, paths, basis.tokens_differ)
    return Scores(basis.sentence, metrics, headline, slices, better, worse, same)


def _from_mlflow(record: Record) -> dict[str, Any]:
    """The metrics that MLflow knows, by the names of the evaluation."""
    return {key.removeprefix("test_"): value for key, value in record.metrics.items() if key.startswith("test_")}


def _metrics(
    task: str, values: list[dict[str, Any]], found: Mapping[str, "Comparison"], basis: Basis
) -> Iterator[Metric]:
    for name in FAMILIES[task].metrics:
        old, new = (_number(each.get(name)) for each in values)
        if old is None and new is None:
            continue
        note = "" if name in found else basis.refused or "per token, and the tokenizers differ"
        yield Metric(name, name in LESS_IS_BETTER, old, new, found.get(name), note)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _paired_file(record: Record, basis: Basis, path: Path) -> Path:
    """The scores of the documents that are compared."""
    import polars as pl

    if basis.shared is None:
        return record.files[SCORES]
    table = _read(record)
    kept = table.filter(pl.col("id").is_in(list(basis.shared))).unique("id", keep="first", maintain_order=True)
    kept.sort("id").write_parquet(path)
    return path


def _read(record: Record) -> "pl.DataFrame":
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        return pl.read_parquet(record.files[SCORES])
    except (PolarsError, OSError) as error:
        raise DataError(f"{record.name}: {SCORES}: damaged: {error}") from error


def _slices(
    before: "Documents", after: "Documents", task: str, metric: str, settings: Mapping[str, Any]
) -> Iterator[Slice]:
    """The metric of both models by group, label and length, the largest slices first."""
    import numpy as np

    from tasks.compare.statistics import statistic

    first, second = (statistic(each, metric, settings) for each in (before, after))
    sign = 1.0 if first.less_is_better else -1.0
    for kind, members in _members(after, task).items():
        own = [(name, np.asarray(rows)) for name, rows in members.items() if len(rows) >= SMALLEST]
        if len(own) < 2:
            continue  # one slice is the whole
        for name, rows in own:
            old, new = (float(each.value(each.rows[rows].sum(axis=0))) for each in (first, second))
            yield Slice(kind, name, len(rows), old, new, sign * (old - new))


def _members(documents: "Documents", task: str) -> dict[str, dict[str, list[int]]]:
    """Kind → name of the slice → its rows."""
    import numpy as np

    found = {"group": _largest(list(documents.groups))}
    if task == "classification":
        found["label"] = _largest(documents.table["label"].to_pylist())
        return found
    if task in ("causal-lm", "masked-lm"):
        unit = "bytes" if task == "causal-lm" else "tokens"
        lengths = np.asarray(documents.table[unit].to_pylist())
    else:
        unit = "characters of the reference"
        lengths = np.asarray([len(text) for text in documents.table["reference"].to_pylist()])
    edges = np.quantile(lengths, np.linspace(0, 1, QUARTERS + 1)) if len(lengths) else []
    quarters: dict[str, list[int]] = {}
    for row, length in enumerate(lengths):
        place = min(int(np.searchsorted(edges[1:-1], length)), QUARTERS - 1)
        low, high = (f"{edges[place + more]:,.0f}" for more in (0, 1))
        quarters.setdefault(f"{place + 1}. quarter, {low} to {high} {unit}", []).append(row)
    found["length"] = {name: quarters[name] for name in sorted(quarters)}
    return found


def _largest(names: list[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        members.setdefault(str(name), []).append(row)
    return dict(sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:SLICES])


def _extremes(
    old: Record, new: Record, task: str, paths: list[Path], tokens_differ: bool
) -> tuple[tuple[Extreme, ...], tuple[Extreme, ...], int]:
    """The documents that became most better, those that became most worse, and how many stayed."""
    import polars as pl

    measure = MEASURES[task]
    if tokens_differ and measure.column in OF_TOKENS:
        return (), (), 0
    tables = [pl.read_parquet(path).unique("id", keep="none", maintain_order=True) for path in paths]
    both = tables[1].join(tables[0], on="id", suffix="_old", maintain_order="left")
    gain = pl.col(f"{measure.column}_old") - pl.col(measure.column)
    both = both.with_columns(gain=gain if measure.less_is_better else -gain).drop_nulls("gain")
    ranked = both.sort("gain", "id", descending=[True, False])
    better = ranked.filter(pl.col("gain") > 0).head(EXTREMES).to_dicts()
    worse = ranked.filter(pl.col("gain") < 0).reverse().head(EXTREMES).to_dicts()
    texts = _texts(old, new, [row["id"] for row in (*better, *worse)])
    shown = [tuple(_extreme(row, measure, task, texts.get(row["id"])) for row in rows) for rows in (better, worse)]
    return shown[0], shown[1], both.filter(pl.col("gain") == 0).height


def _texts(old: Record, new: Record, ids: list[str]) -> dict[str, str]:
    """The texts of test documents, where they are at hand."""
    documents = new.documents("test")
    if documents is None or documents.table is None:
        return {}
    import polars as pl

    wanted = {str(name): bytes(digest) for name, digest in documents.table.filter(pl.col("id").is_in(ids)).iter_rows()}
    return find_texts([shards for record in (new, old) if (shards := record.corpora.get("test"))], wanted)


def _extreme(row: Mapping[str, Any], measure: Measure, task: str, text: str | None) -> Extreme:
    outputs = [] if text is None else [("text", text)]
    if task in PAIRS:
        outputs += [("old", row["prediction_old"]), ("new", row["prediction"]), ("reference", row["reference"])]
    elif task == "classification":
        outputs += [("old", _class(row, "_old")), ("new", _class(row, "")), ("label", row["label"])]
    return Extreme(
        str(row["id"]), str(row["group"]), measure.column, row[f"{measure.column}_old"], row[measure.column],
        tuple((name, _cut(redact(str(value)))) for name, value in outputs),
    )  # fmt: skip


def _class(row: Mapping[str, Any], side: str) -> str:
    return f"{row[f'predicted{side}']} ({row[f'probability{side}']:.0%})"


def _cut(text: str) -> str:
    return text if len(text) <= OUTPUT else f"{text[: OUTPUT - 1]}…"
