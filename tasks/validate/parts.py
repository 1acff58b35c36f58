"""Evaluate large tables in parts: the library copies its input several times, so it gets one part at a time unless an
expectation needs all rows at once.

In: a frame and expectations about some of its columns. Out: the library's results, as for the whole frame.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

ROWS = 500_000
"""Documents per part."""

LISTED = 20
"""Maximum unexpected values listed in a result; its counts include all."""

EQUAL = {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}
"""Expectations that look for equal rows: equal rows go into the same part."""

BY_ROW = {
    f"expect_column_values_to_{what}"
    for what in (
        "be_between", "be_in_set", "be_json_parseable", "be_null", "match_like_pattern", "match_like_pattern_list",
        "match_regex", "match_regex_list", "match_strftime_format", "not_be_in_set", "not_be_null",
        "not_match_like_pattern", "not_match_like_pattern_list", "not_match_regex", "not_match_regex_list",
    )
} | {
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
}  # fmt: skip
"""Expectations that judge each row alone. All others, except EQUAL, need the whole table."""

Ask = Callable[["pl.DataFrame", Sequence[Any]], list[Any]]
"""Evaluates expectations on a table; returns their results."""


def kind_of(name: str) -> str:
    """How a table may be divided for an expectation: `rows`, `equal`, or `whole`."""
    return "rows" if name in BY_ROW else "equal" if name in EQUAL else "whole"


def ask_in_parts(frame: "pl.DataFrame", kind: str, expectations: Sequence[Any], ask: Ask) -> list[Any]:
    """Results of expectations of one kind that use all columns of the frame."""
    if frame.height <= ROWS or kind == "whole":
        return ask(frame, expectations)
    found: list[list[tuple[NDArray[np.int64], Any]]] = []
    for rows in _parts(frame, kind):
        results = sorted(ask(frame[rows], expectations), key=lambda one: one.expectation_config.meta["index"])
        found.append([(rows, one) for one in results])
    return [_joined(list(parts)) for parts in zip(*found, strict=True)]


def _parts(frame: "pl.DataFrame", kind: str) -> Iterator[NDArray[np.int64]]:
    """The row numbers of each part [rows]."""
    count = -(-frame.height // ROWS)
    if kind == "rows":
        for start in range(0, frame.height, ROWS):
            yield np.arange(start, min(start + ROWS, frame.height))
        return
    hashed = (frame.slice(start, ROWS).hash_rows() % count for start in range(0, frame.height, ROWS))
    part = np.concatenate([numbers.to_numpy().astype(np.min_scalar_type(count)) for numbers in hashed])
    for number in range(count):
        yield np.flatnonzero(part == number)


def _joined(parts: list[tuple[NDArray[np.int64], Any]]) -> Any:
    """Merge the results of one expectation over all parts; returns the first error, if any."""
    whole = parts[0][1]
    for _, one in parts:
        if "unexpected_count" not in one.result:
            return one
    counts = {
        key: sum(one.result.get(key, 0) for _, one in parts)
        for key in ("element_count", "unexpected_count", "missing_count")
    }
    failing = sorted(
        (
            (int(rows[position]), value)
            for rows, one in parts
            for position, value in zip(
                one.result.get("unexpected_index_list") or [], one.result.get("unexpected_list") or [], strict=True
            )
        ),
        key=lambda pair: pair[0],
    )
    with_value = counts["element_count"] - counts["missing_count"]
    values = [value for _, value in failing]
    told = counts | {
        "unexpected_percent": _percent(counts["unexpected_count"], with_value),
        "unexpected_percent_nonmissing": _percent(counts["unexpected_count"], with_value),
        "unexpected_percent_total": _percent(counts["unexpected_count"], counts["element_count"]),
        "missing_percent": _percent(counts["missing_count"], counts["element_count"]),
        "unexpected_index_list": [row for row, _ in failing],
        "unexpected_list": values,
        "partial_unexpected_list": values[:LISTED],
        "partial_unexpected_counts": [
            {"value": value, "count": count} for value, count in Counter(map(_hashable, values)).most_common(LISTED)
        ],
    }
    whole.result |= {key: value for key, value in told.items() if key in whole.result}
    mostly = whole.expectation_config.kwargs.get("mostly", 1)
    whole.success = not with_value or (with_value - counts["unexpected_count"]) / with_value >= mostly
    return whole


def _percent(count: int, total: int) -> float | None:
    return 100 * count / total if total else None


def _hashable(value: Any) -> Any:
    """The value, or its `repr` if it is a list (a pair) or a mapping (a record)."""
    return value if value.__hash__ is not None else repr(value)
