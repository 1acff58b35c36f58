"""Validate a corpus: scan it, evaluate the expectations, and quarantine the documents that fail."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.corpus import (
    CorpusWriter,
    corpus_schema,
    count_documents,
    count_parts,
    extra_columns,
    extra_of,
    read_batches,
)
from tasks.formats.drops import DropWriter
from tasks.formats.mixture import require_sources
from tasks.stage.errors import DataError, GristmillError
from tasks.stage.run import Job, Report
from tasks.stage.settings import read_section, recipe_path
from tasks.validate.checks import Outcome, run_checks
from tasks.validate.docs import write_validation
from tasks.validate.settings import COLUMNS, ValidateSettings
from tasks.validate.statistics import scan

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

FAILED = "validation-failed"
"""Folder next to the outputs: Data Docs of a validation that stopped the stage."""


def validate(job: Job) -> Report:
    """Run the stage. Raises GristmillError with a table of the critical expectations that are not met."""
    settings = read_section(job.recipe, "validate", ValidateSettings)
    raw = job.input("raw")
    columns = set().union(*(one.columns for one in settings.expectations))
    if any(one.name.startswith("expect_table_column") for one in settings.expectations):
        columns |= set(COLUMNS) - {"text", "target", "longest_line"}
    if named := sorted({one.source for one in settings.expectations if one.source is not None}):
        columns |= {"part"}
        require_sources(named, count_parts(raw), f"{recipe_path(job.recipe)}: validate.expectations")
    frame = scan(raw, columns)
    _require_few_problems(job, raw, count_documents(raw) - frame.height, settings.max_problem_share)
    outcomes, result = run_checks(frame, settings.expectations, recipe_path(job.recipe))
    write_validation(job.output("validation"), outcomes, result, frame.height)
    failed_before = job.folder / FAILED
    if failed_before.exists():
        shutil.rmtree(failed_before)
    if critical := [one for one in outcomes if not one.success and one.settings.severity == "critical"]:
        shutil.copytree(job.output("validation"), failed_before)
        raise GristmillError(_told(critical, job, failed_before / "docs" / "index.html"))
    for one in outcomes:
        if not one.success and one.settings.severity == "warning":
            job.say(f"warning: {_key(one, job)}: {one.description}: expected {one.expected}, observed {one.observed}")
    return _part(job, raw, _reasons(outcomes, frame["row"].to_numpy()), outcomes)


def _require_few_problems(job: Job, raw: Path, problems: int, most: float) -> None:
    documents = count_documents(raw)
    if not problems:
        return
    told = f"{problems:,} of {documents:,} documents have a problem in the source ({_first_problem(raw)})"
    if problems > most * documents:
        key = f"{recipe_path(job.recipe)}: validate.max_problem_share"
        raise GristmillError(f"{raw}: {told}, more than the allowed share of {most:g} ({key}); nothing was changed")
    job.say(f"warning: {told}; they are quarantined")


def _first_problem(raw: Path) -> str:
    for batch in read_batches(raw, ("source", "problem")):
        bad = batch.filter(batch.column("problem").is_valid())
        if bad.num_rows:
            return f"{bad.column('source')[0]}: {bad.column('problem')[0]}"
    raise AssertionError(f"{raw}: no document has a problem")


def _reasons(outcomes: list[Outcome], rows: "NDArray[np.uint64]") -> dict[int, list[tuple[str, str]]]:
    """By corpus row: the failed expectations and the observed values."""
    reasons: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for one in outcomes:
        if one.settings.severity != "info":
            for position, value in one.failing.items():
                reasons[int(rows[position])].append((one.description, value))
    return reasons


def _part(job: Job, raw: Path, reasons: dict[int, list[tuple[str, str]]], outcomes: list[Outcome]) -> Report:
    received, extra = 0, extra_columns(raw)
    with (
        CorpusWriter(job.output("valid"), corpus_schema(extra=extra)) as valid,
        DropWriter(job.output("quarantine.parquet"), corpus_schema("reason", "value", extra=extra)) as quarantine,
    ):
        for batch in read_batches(raw, corpus_schema("problem", extra=extra).names):
            judged, kinds = _judged(batch, received, reasons)
            received += batch.num_rows
            quarantine.write(judged.filter(judged.column("reason").is_valid()), [kind for kind in kinds if kind])
            valid.write(judged.filter(judged.column("reason").is_null()))
    dropped = quarantine.drops()
    if not valid.documents:
        told = ", ".join(f"{drop.reason}: {drop.documents}" for drop in dropped) or "the corpus is empty"
        raise DataError(f"{raw}: none of {received} documents is valid ({told})")
    return Report(
        received={"documents": received},
        produced={"documents": valid.documents, "bytes": valid.bytes},
        dropped=dropped,
        details={
            "expectations": len(outcomes),
            "met": sum(one.success for one in outcomes),
            "not_met": [
                {
                    "expectation": one.description,
                    "severity": one.settings.severity,
                    "expected": one.expected,
                    "observed": one.observed,
                }
                for one in outcomes
                if not one.success
            ],
        },
    )


def _judged(
    batch: "pa.RecordBatch", first: int, reasons: dict[int, list[tuple[str, str]]]
) -> tuple["pa.RecordBatch", list[str | None]]:
    """The batch with columns `reason` and `value`, and each document's heading in the report's counts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    said, values, kinds = [], [], []
    for row, problem in enumerate(batch.column("problem").to_pylist(), first):
        failed = reasons.get(row, [])
        # Problems from ingest may each name a byte or a row, so the report counts them under one heading.
        said.append(problem if problem is not None else "; ".join(reason for reason, _ in failed) or None)
        values.append(None if problem is not None else "; ".join(value for _, value in failed) or None)
        kinds.append("problem in the source" if problem is not None else said[-1])
    extra = extra_of(batch.schema)
    schema = corpus_schema("reason", "value", extra=extra)
    columns = {name: batch.column(name).cast(pa.large_string()) for name in corpus_schema(extra=extra).names}
    columns |= {"reason": pa.array(said, pa.large_string()), "value": pa.array(values, pa.large_string())}
    filled = [columns[one.name] if one.nullable else pc.fill_null(columns[one.name], "") for one in schema]
    return pa.RecordBatch.from_arrays(filled, schema=schema), kinds


def _told(failed: list[Outcome], job: Job, page: Path) -> str:
    rows = [("expectation", "expected", "observed", "key")]
    rows += [(one.description, one.expected, one.observed, _key(one, job)) for one in failed]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    count = f"{len(failed)} critical expectation{'s' if len(failed) > 1 else ''}"
    return f"{job.folder / 'raw'}: {count} not met; nothing was changed\n{table}\n  Data Docs: {page}"


def _key(one: Outcome, job: Job) -> str:
    return f"{recipe_path(job.recipe)}: validate.expectations[{one.index}]"
