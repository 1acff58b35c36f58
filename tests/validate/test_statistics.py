import unicodedata

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.formats.conversation import write_messages
from tasks.validate.settings import COLUMNS, OF_COLUMN
from tasks.validate.statistics import statistics
from tests.chats import turns

OF_CHATS = {name for column in ("messages", "rejected") for name in OF_COLUMN[column]}
LINE_ENDS = "\t\n\x0b\x0c\r\x85"


def documents(*texts: str, target: list[str | None] | None = None, label: list[str | None] | None = None):
    absent = [None] * len(texts)
    pairs = {"text": texts, "target": target or absent, "label": label or absent}
    columns = [pl.Series(name, values, pl.String) for name, values in pairs.items()]
    return (
        pl.DataFrame(columns).with_columns(id=pl.lit("a"), group=pl.lit("g"), source=pl.lit("s")).with_row_index("row")
    )


def slow(text: str) -> dict[str, float]:
    """The statistics by their definitions."""
    return {
        "characters": len(text),
        "bytes": len(text.encode()),
        "lines": text.count("\n") + 1,
        "longest_line": max(map(len, text.split("\n"))),
        "control_characters": sum(unicodedata.category(c) == "Cc" and c not in LINE_ENDS for c in text),
        "replacement_characters": text.count("\ufffd"),
    }


def test_there_is_a_statistic_for_every_documented_column() -> None:
    chat = write_messages([*turns("a", '{"role":"assistant"', system="s")])
    known = documents("one two\nthree").with_columns(messages=pl.lit(chat), rejected=pl.lit("no  way"))
    made = statistics(known, COLUMNS).to_dicts()[0]
    assert list(made) == ["row", *COLUMNS]
    assert made["words"] == 3 and made["lines"] == 2 and made["longest_line"] == 7
    assert made["turns"] == 3 and made["answers"] == 1 and made["rejected_words"] == 2
    assert abs(made["letter_share"] - 11 / 13) < 1e-12


def test_targets_have_statistics_and_where_there_is_none_they_are_null() -> None:
    pairs = documents("four", "a", "b", "", target=[" zwei  drei\n", None, "", "é"], label=[None, "x", None, "y"])
    made = statistics(pairs, {*COLUMNS} - OF_CHATS).select(
        "target", "label", "target_characters", "target_words", "length_ratio"
    )
    assert made.rows() == [
        (" zwei  drei\n", None, 12, 2, 3.0),
        (None, "x", None, None, None),
        ("", None, 0, 0, 0.0),
        ("é", "y", 1, 1, 1.0),
    ]


@settings(max_examples=300)
@given(
    st.text(
        st.one_of(
            st.sampled_from("\x00\x08\x0b\x1b\x7f\x84\x86\x9f\n\r\ufffd é"), st.characters(exclude_categories=["Cs"])
        )
    )
)
def test_statistics_are_what_they_say(text: str) -> None:
    expected = slow(text)
    assert statistics(documents(text), expected.keys()).drop("row").to_dicts()[0] == expected
