"""A large table, evaluated in parts, gives the results of the whole table."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.validate import parts
from tasks.validate.checks import Outcome, run_checks
from tasks.validate.settings import ExpectationSettings

FRAME = pl.DataFrame(
    {
        "row": range(60),
        "id": [f"d{number % 57}" for number in range(60)],
        "group": [None if number % 5 == 0 else f"g{number}" for number in range(60)],
        "characters": [number % 11 for number in range(60)],
        "words": [number % 7 for number in range(60)],
    }
)
EXPECTATIONS: list[dict[str, Any]] = [
    {"expectation": "expect_table_row_count_to_be_between", "min_value": 1},
    {"expectation": "expect_column_values_to_be_unique", "column": "id"},
    {"expectation": "expect_column_values_to_be_unique", "column": "id", "mostly": 0.9},
    {"expectation": "expect_column_values_to_be_unique", "column": "group"},
    {"expectation": "expect_compound_columns_to_be_unique", "column_list": ["characters", "words"]},
    {"expectation": "expect_column_values_to_be_between", "column": "words", "min_value": 1, "mostly": 0.85},
    {"expectation": "expect_column_values_to_be_between", "column": "words", "min_value": 1, "mostly": 0.86},
    {"expectation": "expect_column_values_to_not_be_null", "column": "group", "mostly": 0.8},
    {"expectation": "expect_column_values_to_be_null", "column": "group"},
    {"expectation": "expect_column_values_to_match_regex", "column": "group", "regex": "g.*[1-8]$", "mostly": 0.9},
    {"expectation": "expect_column_mean_to_be_between", "column": "words", "min_value": 1, "max_value": 2},
    {
        "expectation": "expect_column_pair_values_a_to_be_greater_than_b",
        "column_A": "characters", "column_B": "words", "or_equal": True,
    },
    {"expectation": "expect_column_to_exist", "column": "id"},
]  # fmt: skip


def told(outcome: Outcome) -> tuple[Any, ...]:
    result = {**outcome.result}
    counts = result.pop("partial_unexpected_counts", [])
    result["counts"] = sorted((json.dumps(one["value"], default=str), one["count"]) for one in counts)
    return outcome.index, outcome.success, outcome.failing, outcome.observed, result


def test_what_is_asked_in_parts_is_what_the_whole_says(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tuple(ExpectationSettings.model_validate(one) for one in EXPECTATIONS)
    whole, one = run_checks(FRAME, settings, Path("recipes/x.yaml"))
    monkeypatch.setattr(parts, "ROWS", 7)
    in_parts, other = run_checks(FRAME, settings, Path("recipes/x.yaml"))
    assert [outcome.success for outcome in whole].count(False) >= 4
    assert [told(outcome) for outcome in in_parts] == [told(outcome) for outcome in whole]
    assert (one.success, one.statistics) == (other.success, other.statistics)


def test_every_name_is_an_expectation() -> None:
    from tasks.validate.catalogue import expectation_names

    assert set(expectation_names()) >= parts.BY_ROW | parts.EQUAL
