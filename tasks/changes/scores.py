"""Scores side by side: metrics with their paired difference, slices, and the documents that changed most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.comparable import Basis, find_basis, find_shared, scored_again
from tasks.changes.extremes import Extreme, find_extremes
from tasks.changes.record import METRICS, SCORES, Record
from tasks.changes.slices import Slice, find_slices
from tasks.compare.signature import OF_TOKENS
from tasks.stage.errors import DataError
from tasks.stage.scratch import scratch
from tasks.stage.task import FAMILIES, LESS_IS_BETTER

if TYPE_CHECKING:
    import polars as pl

    from tasks.compare.verdict import Comparison, Noise


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


def find_scores(old: Record, new: Record, task: str, noise: "Noise | None" = None) -> Scores:
    """Compare the scores of two records of one task; `noise`: the spread between seeds of the headline metric.

    Raises DataError for a damaged file.
    """
    old, new, told = scored_again(old, new)
    basis = find_basis(old, new)
    if told and not basis.refused:
        basis = replace(basis, sentence=told)
    values = [record.read_json(METRICS) or _from_mlflow(record) for record in (old, new)]
    missing = [record.name for record in (old, new) if SCORES not in record.files]
    if not basis.refused and missing:
        basis = Basis(refused=f"the scores of single documents are not recorded for {' and '.join(missing)}")
    if not basis.refused:
        try:
            with scratch("changes") as folder:
                return _compare(old, new, task, values, basis, folder, noise)
        except DataError as error:
            basis = Basis(refused=f"the scores of single documents cannot be compared: {error}")
    return Scores(basis.refused, tuple(_metrics(task, values, {}, basis)))


def _compare(
    old: Record,
    new: Record,
    task: str,
    values: list[dict[str, Any]],
    basis: Basis,
    folder: Path,
    noise: "Noise | None",
) -> Scores:
    from tasks.compare.documents import read_documents
    from tasks.compare.verdict import compare

    tables = [_read(record) for record in (old, new)]
    if empty := [record.name for record, table in zip((old, new), tables, strict=True) if not table.height]:
        raise DataError(f"{' and '.join(empty)}: no document was scored")
    if basis.shared is None and not tables[0]["id"].equals(tables[1]["id"]):
        basis = find_shared(old, new, basis.tokens_differ)  # the same texts under other ids
        if basis.refused:
            raise DataError(basis.refused)
    paths = []
    for record, table, side in zip((old, new), tables, ("old", "new"), strict=True):
        paths.append(record.files[SCORES] if basis.shared is None else _select(table, basis.shared, folder / side))
    before, after = (read_documents(path, task) for path in paths)
    recipe = new.settings or {}
    settings, register = (dict(recipe.get(section) or {}) for section in ("evaluate", "register"))
    names = [name for name in FAMILIES[task].metrics if not (basis.tokens_differ and name in OF_TOKENS)]
    headline = register["metric"] if register.get("metric") in names else next(iter(names), "")
    found = {
        name: compare(
            after, before, name, settings, margin=_margin(register) if name == headline else 0.0,
            noise=noise if name == headline else None,
        )
        for name in names
    }  # fmt: skip
    metrics = tuple(_metrics(task, values, found, basis))
    slices = tuple(find_slices(before, after, headline, settings, new)) if headline else ()
    better, worse, same = find_extremes(old, new, task, paths, basis.tokens_differ)
    return Scores(basis.sentence, metrics, headline, slices, better, worse, same)


def _margin(register: Mapping[str, Any]) -> float:
    """`register.margin`, a difference that does not matter; 0 if the recipe has none."""
    return max(0.0, _number(register.get("margin")) or 0.0)


def _from_mlflow(record: Record) -> dict[str, Any]:
    """The metrics that MLflow knows, by the names of the evaluation."""
    return {key.removeprefix("test_"): value for key, value in record.metrics.items() if key.startswith("test_")}


def _metrics(
    task: str, values: list[dict[str, Any]], found: Mapping[str, "Comparison"], basis: Basis
) -> Iterator[Metric]:
    for name in FAMILIES[task].metrics:
        old, new = (_number(each.get(name)) for each in values)
        if old is None and new is None and name not in found:
            continue
        note = "" if name in found else basis.refused or "per token, and the tokenizers differ"
        yield Metric(name, name in LESS_IS_BETTER, old, new, found.get(name), note)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _select(table: "pl.DataFrame", ids: frozenset[str], path: Path) -> Path:
    """The scores of these documents, ordered by id, as a file."""
    import polars as pl

    kept = table.filter(pl.col("id").is_in(list(ids))).unique("id", keep="first").sort("id")
    kept.write_parquet(path)
    return path


def _read(record: Record) -> "pl.DataFrame":
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        return pl.read_parquet(record.files[SCORES])
    except (PolarsError, OSError) as error:
        raise DataError(f"{record.name}: {SCORES}: damaged: {error}") from error
