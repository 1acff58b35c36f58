"""The documents that became most better and most worse, with what both models gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.changes.record import Record
from tasks.changes.texts import find_texts
from tasks.compare.signature import OF_TOKENS
from tasks.stage.redact import redact
from tasks.stage.task import PAIRS

EXTREMES = 5
"""Documents that are shown of those that became most better, and of those that became most worse."""
OUTPUT = 600
"""Characters of an output that are shown."""


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
    "chat": Measure("chrf", False),
    "preference": Measure("margin", False),
}


def find_extremes(
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
    if task in (*PAIRS, "chat"):
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
