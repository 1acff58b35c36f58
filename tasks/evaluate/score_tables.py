"""Tables, groups and report from document scores, for causal and masked models."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.evaluate.plots import History, draw_curves
from tasks.evaluate.score_plots import Measure, draw_scores
from tasks.evaluate.split import Split
from tasks.formats.tokens import Tokens
from tasks.stage.run import Job, Report, write_json

if TYPE_CHECKING:
    import pyarrow as pa

DIGITS = 6
"""Decimals of stored numbers: finer than any real difference, coarser than rounding errors."""

EXAMPLES = 5
"""Number of best and worst documents in the report."""

Row = dict[str, Any]


@dataclass(frozen=True)
class ScoreTables:
    """The results of an evaluation, to be written."""

    measure: Measure
    rows: Sequence[Row]
    """One row per document, in corpus order."""
    groups: Sequence[Row]
    metrics: Mapping[str, Any]
    samples: Sequence[Row]

    def write(self, job: Job, history: History, columns: Mapping[str, type]) -> None:
        """Write all files of the stage except the report; `columns` of the rows are stored."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        write_json(job.output("evaluation/metrics.json"), self.metrics)
        write_json(job.output("evaluation/samples.json"), self.samples)
        stored = [{**row, "loss": round(row["loss"], DIGITS)} for row in self.rows]
        table = pa.Table.from_pylist(stored, schema_of(columns))
        pq.write_table(table, job.output("evaluation/scores.parquet"), compression="zstd")
        draw_curves(job.output("evaluation/curves.png"), history, job.recipe)
        place = job.output("evaluation/scores.png")
        draw_scores(place, self.rows, self.groups, self.metrics, job.recipe, self.measure)

    def report(self, split: Split, train: Tokens, tokens: int) -> Report:
        """The report: metrics, groups, best and worst documents. `tokens`: number of scored tokens."""
        key = self.measure.key
        ranked = sorted((row for row in self.rows if row[self.measure.size]), key=lambda row: (row[key], row["id"]))
        shown = [{name: row[name] for name in ("id", "group", self.measure.size, key)} for row in ranked]
        return Report(
            received={"documents": split.documents, "bytes": split.bytes, "training_tokens": len(train)},
            produced={"scored_documents": len(self.rows), "scored_tokens": tokens, "samples": len(self.samples)},
            details={
                **self.metrics,
                "groups": self.groups,
                "best": shown[:EXAMPLES],
                "worst": shown[::-1][:EXAMPLES],
            },
        )


def schema_of(columns: Mapping[str, type]) -> "pa.Schema":
    """The schema of scores.parquet: id, group, then `columns` of type str, int or float."""
    import pyarrow as pa

    kinds = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}
    named = {"id": str, "group": str, **columns}
    return pa.schema([(name, kinds[kind]) for name, kind in named.items()])


def by_group(
    rows: Sequence[Row], counted: Sequence[str], rates: Callable[[Sequence[Row]], Row], measure: Measure
) -> list[Row]:
    """Per group: number of documents, sums of the `counted` columns, and the group's scores; best first."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(row["group"], []).append(row)
    table = [
        {"group": group, "documents": len(own), **{name: sum(row[name] for row in own) for name in counted},
         **rates(own)}
        for group, own in members.items()
    ]  # fmt: skip
    return sorted((row for row in table if row[measure.size]), key=lambda row: (row[measure.key], row["group"]))


def total(rows: Sequence[Row], column: str) -> float:
    """The sum of a column, exactly rounded and so independent of row order."""
    return math.fsum(row[column] for row in rows)
