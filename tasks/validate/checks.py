"""Run a recipe's expectations on a table of statistics with Great Expectations.

The context is ephemeral: no store, no file, no network. The library is imported on use, as that takes seconds. It
copies the table for each metric, so an expectation gets only the columns it needs.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.errors import RecipeError, one_line
from tasks.validate.catalogue import signature
from tasks.validate.parts import LISTED, ask_in_parts, kind_of
from tasks.validate.settings import ExpectationSettings

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

KEPT = (
    "element_count",
    "unexpected_count",
    "unexpected_percent",
    "missing_count",
    "missing_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
    "partial_unexpected_list",
    "partial_unexpected_counts",
    "observed_value",
    "details",
)
"""Result fields that are deterministic and bounded in size."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one expectation."""

    index: int
    """Its position in `validate.expectations`."""
    settings: ExpectationSettings
    success: bool
    result: dict[str, Any]
    """KEPT fields of the library's result."""
    row_level: bool
    failing: dict[int, str] = field(default_factory=dict)
    """Row-level expectations: position in the frame and observed value of each failing document."""

    @property
    def description(self) -> str:
        """Name and arguments, `expect_column_values_to_be_between(column=words, min_value=1)`."""
        arguments = ", ".join(f"{key}={value}" for key, value in self.settings.arguments.items() if key != "mostly")
        of = f" of {self.settings.source}" if self.settings.source else ""
        return f"{self.settings.name}({arguments}){of}"

    @property
    def expected(self) -> str:
        """The condition for success."""
        if self.row_level:
            having = " that have one" if self.result.get("missing_count") else ""
            return f"at least {_percent(self.settings.arguments.get('mostly', 1))} of the documents{having}"
        skip = ("column", "description", "notes")
        return (
            ", ".join(f"{key} {value}" for key, value in self.settings.arguments.items() if key not in skip) or "true"
        )

    @property
    def observed(self) -> str:
        """The observed value."""
        if self.row_level:
            # `mostly` is a share of the documents with a value; the library skips nulls.
            count = self.result.get("element_count", 0) - self.result.get("missing_count", 0)
            failed = self.result.get("unexpected_count", 0)
            return f"{_percent(1 - failed / count if count else 1)} ({failed} of {count} fail)"
        return _short(self.result.get("observed_value", "false"))


def run_checks(
    frame: "pl.DataFrame", expectations: tuple[ExpectationSettings, ...], recipe: Path
) -> tuple[list[Outcome], Any]:
    """Outcomes in recipe order, and the library's own result for its pages. `frame` comes from `statistics.scan`.

    Raises RecipeError, with the key, for an expectation that cannot be built or evaluated.
    """
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd
    from great_expectations.compatibility import pydantic
    from great_expectations.data_context.types.base import ProgressBarsConfig

    made: dict[tuple[str, tuple[str, ...], str | None], list[Any]] = {}
    for index, settings in enumerate(expectations):
        expectation = getattr(gxe, signature(settings.name).class_name)
        try:
            one = expectation(**settings.arguments, severity=settings.severity, meta={"index": index})
        except pydantic.ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise RecipeError(f"{recipe}: validate.expectations[{index}]: {settings.name}: {problems}") from error
        except TypeError as error:  # an abstract class: listed, but not implemented
            raise RecipeError(f"{recipe}: validate.expectations[{index}]: {settings.name}: {error}") from error
        made.setdefault((kind_of(settings.name), _shown(settings, frame), settings.source), []).append(one)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("corpus").add_dataframe_asset("documents")
    form = {"result_format": "COMPLETE", "partial_unexpected_count": LISTED}
    definition = asset.add_batch_definition_whole_dataframe("all")
    seen = []

    def ask(table: "pl.DataFrame", some: Sequence[Any]) -> list[Any]:
        # `row` alone becomes an index without columns, which is cheaper to copy and hash.
        data = pd.DataFrame(index=range(table.height)) if table.columns == ["row"] else table.to_pandas()
        batch = definition.get_batch({"dataframe": data})
        suite = gx.ExpectationSuite(name="expectations", expectations=list(some))
        seen.append(batch.validate(suite, result_format=form))
        return list(seen[-1].results)

    results = []
    rows = {source: _rows_of(source, frame) for _, _, source in made}
    for (kind, columns, source), some in made.items() or [(("whole", ("row",), None), [])]:
        table = frame if source is None else frame[rows[source]]
        results += ask_in_parts(table.select(columns), kind, some, ask)
    return _outcomes(result := _whole(seen[0], results), expectations, recipe, rows), result


def _rows_of(source: str | None, frame: "pl.DataFrame") -> "NDArray[np.int64]":
    """Positions in the frame of the documents of a source, or of all."""
    import numpy as np

    return np.arange(frame.height) if source is None else np.flatnonzero((frame["part"] == source).to_numpy())


def _shown(settings: ExpectationSettings, frame: "pl.DataFrame") -> tuple[str, ...]:
    """The columns that an expectation gets: those it needs, or `row` to count rows."""
    about = settings.columns if not settings.about_the_table else set(frame.columns) - {"row", "part"}
    return tuple(name for name in frame.columns if name in about) or ("row",)


def _whole(whole: Any, results: list[Any]) -> Any:
    """Turn one of the library's results into the result for all expectations."""
    whole.results = results
    met = sum(bool(one.success) for one in whole.results)
    whole.success = met == len(whole.results)
    whole.statistics = {
        "evaluated_expectations": len(whole.results),
        "successful_expectations": met,
        "unsuccessful_expectations": len(whole.results) - met,
        "success_percent": 100 * met / len(whole.results) if whole.results else None,
    }
    return whole


def _outcomes(
    result: Any,
    expectations: tuple[ExpectationSettings, ...],
    recipe: Path,
    rows: "Mapping[str | None, NDArray[np.int64]]",
) -> list[Outcome]:
    """`rows`: by source, the positions of its documents in the frame."""
    outcomes = []
    result.results.sort(key=lambda one: one.expectation_config.meta["index"])
    for one in result.results:
        index = one.expectation_config.meta["index"]
        settings = expectations[index]
        if message := _exception(one.exception_info or {}):
            raise RecipeError(f"{recipe}: validate.expectations[{index}]: {settings.name}: {message}")
        full = one.to_json_dict()["result"]
        positions = full.get("unexpected_index_list") or []
        values = full.get("unexpected_list") or []
        failing = {
            int(rows[settings.source][int(position)]): _short(value)
            for position, value in zip(positions, values if len(values) == len(positions) else positions, strict=True)
        }
        kept = {key: _bounded(full[key]) for key in KEPT if key in full}
        row_level = "unexpected_count" in full and "element_count" in full
        # For the library's renderers: plain numbers without the list of all failing rows. They trip over an aggregate
        # with unexpected values, which the observed value shows anyway: they want their share of the rows.
        one.result = {key: value for key, value in kept.items() if row_level or "unexpected" not in key}
        outcomes.append(Outcome(index, settings, bool(one.success), kept, row_level, failing))
    return outcomes


def _exception(info: dict[str, Any]) -> str | None:
    """The message of a result's exception, or of the first exception in its metrics."""
    if "raised_exception" in info:
        message = info.get("exception_message") if info["raised_exception"] else None
    else:
        message = next((one["exception_message"] for one in info.values() if one.get("raised_exception")), None)
    return one_line(message) if message is not None else None


def _bounded(value: Any) -> Any:
    """The value, valid in JSON and short enough to read: no NaN, no list of all rows, no 50 MB document."""
    if isinstance(value, dict):
        return {key: _bounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_bounded(one) for one in value[:LISTED]]
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, float):  # numpy's floats, too, which the library's renderers reject
        return float(value) if math.isfinite(value) else str(value)
    return value


def _percent(share: float) -> str:
    return f"{100 * share:.6g} %"


def _short(value: Any, most: int = 80) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[:most]}…"
