import re
import unicodedata

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.validate.settings import COLUMNS
from tasks.validate.statistics import statistics

LINE_ENDS = "\t\n\x0b\x0c\r\x85"
NEITHER = {"target": pl.Series([None], dtype=pl.String), "label": pl.Series([None], dtype=pl.String)}


def slow(text: str) -> dict[str, float]:
    """The statistics by their definitions."""
    controls = [c for c in text if unicodedata.category(c) == "Cc" and c not in "\t\n\r\x85\x0b\x0c"]
    return {
        "characters": len(text),
        "bytes": len(text.encode()),
        "lines": text.count("\n") + 1,
        "longest_line": max(map(len, text.split("\n"))),
        "control_characters": len(controls),
        "replacement_characters": text.count("\ufffd"),
    }


def test_there_is_a_statistic_for_every_documented_column() -> None:
    documents = pl.DataFrame(
        {"row": [0], "id": ["a"], "group": ["g"], "text": ["one two\nthree"], "source": ["s"], **NEITHER}
    )
    made = statistics(documents, COLUMNS).to_dicts()[0]
    assert list(made) == ["row", *COLUMNS]
    assert made["words"] == 3 and made["lines"] == 2 and made["longest_line"] == 7
    assert abs(made["letter_share"] - 11 / 13) < 1e-12


def test_targets_have_statistics_and_where_there_is_none_they_are_null() -> None:
    targets, labels = [" zwei  drei\n", None, "", "é"], [None, "x", None, "y"]
    documents = pl.DataFrame(
        {"row": range(4), "id": "a", "group": "g", "text": ["four", "a", "b", ""], "source": "s"}
    ).with_columns(target=pl.Series(targets), label=pl.Series(labels))
    made = statistics(documents, COLUMNS).select("target", "label", "target_characters", "target_words", "length_ratio")
    assert made.rows() == [
        (" zwei  drei\n", None, 12, 2, 3.0),
        (None, "x", None, None, None),
        ("", None, 0, 0, 0.0),
        ("é", "y", 1, 1, 1.0),
    ]


@settings(max_examples=300)
@given(
    st.text(
        st.one_of(st.sampled_from("\x00\x08\x1b\x7f\x84\x86\x9f\n\r\ufffd é"), st.characters(exclude_categories=["Cs"]))
    )
)
def test_statistics_are_what_they_say(text: str) -> None:
    text = re.sub("[\x0b\x0c]", "", text)
    documents = pl.DataFrame({"row": [0], "id": ["a"], "group": ["g"], "text": [text], "source": ["s"], **NEITHER})
    expected = slow(text)
    assert statistics(documents, expected.keys()).drop("row").to_dicts()[0] == expected
