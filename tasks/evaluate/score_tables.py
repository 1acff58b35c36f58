"""Groups and report from document scores, for causal and masked models."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.evaluate.exam import Row
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.parts import by_part, columns_with_part, rows_with_part
from tasks.evaluate.score_plots import Measure, draw_scores
from tasks.evaluate.scores import write_scores
from tasks.stage.run import Job, Report

EXAMPLES = 5
"""Number of best and worst documents in the report."""


def write_tables(
    job: Job,
    inputs: Inputs,
    measure: Measure,
    columns: Mapping[str, type],
    rows: Sequence[Row],
    groups: Sequence[Row],
    metrics: Mapping[str, Any],
    samples: Sequence[Row],
    tokens: int,
) -> Report:
    """Write all files of the stage; returns the report: metrics, groups, best and worst documents.

    `rows`: one per document, in corpus order; their `columns` are stored. `tokens`: number of scored tokens.
    """
    columns = columns_with_part(columns, inputs.parts)
    write_scores(job.output("evaluation/scores.parquet"), rows_with_part(rows, inputs.parts), columns)
    draw_scores(job.output("evaluation/scores.png"), rows, groups, metrics, job.recipe, measure)
    ranked = sorted((row for row in rows if row[measure.size]), key=lambda row: (row[measure.key], row["id"]))
    shown = [{name: row[name] for name in ("id", "group", measure.size, measure.key)} for row in ranked]
    details = {"groups": groups, "best": shown[:EXAMPLES], "worst": shown[::-1][:EXAMPLES]}
    return inputs.report(job, metrics, samples, details, scored_tokens=tokens)


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


def sums_by_part(
    parts: Sequence[str], rows: Sequence[Row], rates: Callable[[Sequence[Row]], Mapping[str, Any]]
) -> dict[str, Any]:
    """`by_part` of metrics.json from the rows of all documents; see `tasks.evaluate.parts.by_part`."""
    return by_part(parts, lambda own: rates([rows[number] for number in own]))


def total(rows: Sequence[Row], column: str) -> float:
    """The sum of a column, exactly rounded and so independent of row order."""
    return math.fsum(row[column] for row in rows)
