import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.formats.corpus import CorpusWriter, corpus_schema
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.run import run
from tasks.validate.__main__ import STAGE
from tests.corpora import write_corpus, write_recipe

DATA = Path("data/small")

WORDS = """
  expectations:
    - {expectation: ExpectColumnValuesToBeBetween, column: words, min_value: 2, mostly: 0.5, severity: SEVERITY}"""
FOUR = ["one", "one two", "three", "four"]


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def project(section: str, texts: list[Any] | None = None, **columns: list[str | None]) -> None:
    """A recipe with this section `validate`, and raw documents d-0, d-1, … from texts, or (text, problem) pairs."""
    write_recipe(Path(), "small", f"task: causal-lm\nvalidate:{section}\n")
    if texts is not None:
        pairs = [(given, None) if isinstance(given, str) else given for given in texts]
        problems = [problem for _, problem in pairs]
        write_corpus(DATA / "raw", [text for text, _ in pairs], group="d", problem=problems, **columns)


def valid_ids() -> list[str]:
    return pq.read_table(DATA / "valid/part-00000.parquet").column("id").to_pylist()


def reasons() -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(DATA / "quarantine.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["value"]) for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_defaults_put_aside_what_is_no_text_and_keep_the_rest() -> None:
    texts = [f"document {n}" for n in range(60)]
    project(" {}", [*texts, " \n\t", ("", "not UTF-8 at byte 7"), "with a \x00 in it", "a \ufffd too"])
    report = run(STAGE, "small")
    assert valid_ids() == [*(f"d-{n}" for n in range(60)), "d-62"]
    assert reasons() == {
        "d-60": ("expect_column_values_to_be_between(column=words, min_value=1)", "0"),
        "d-61": ("not UTF-8 at byte 7", None),
        "d-63": ("expect_column_values_to_be_between(column=replacement_characters, max_value=0)", "1"),
    }
    assert report.received == {"documents": 64} and report.produced["documents"] == 61
    assert sum(drop.documents for drop in report.dropped) == 3
    assert json.loads((DATA / "validation" / "result.json").read_text())["success"] is True


def test_many_problems_in_the_source_stop_the_stage_and_few_are_told(capsys) -> None:
    project(" {}", [*["text"] * 90, *[("", "not UTF-8 at byte 7")] * 10])
    with pytest.raises(
        GristmillError, match=r"data/small/raw: 10 of 100 documents .*byte 7.*0\.05 .*max_problem_share"
    ):
        run(STAGE, "small")
    assert not (DATA / "valid").exists()
    project(" {max_problem_share: 0.1}")
    assert run(STAGE, "small").produced["documents"] == 90
    assert "warning: 10 of 100 documents have a problem in the source" in capsys.readouterr().err


def test_the_same_documents_give_the_same_outputs_without_a_trace_of_when_and_where(tmp_path: Path) -> None:
    project(WORDS.replace("SEVERITY", "warning"), ["one", "one two", "one two three", "four"])
    run(STAGE, "small")
    first = contents(DATA)
    assert {"validation/docs/index.html", "validation/result.json", "valid/report.json"} < set(first)
    run(STAGE, "small")
    assert contents(DATA) == first
    for name, content in first.items():
        for trace in (
            str(tmp_path).encode(), rb"20\d\d-\d\d-\d\d", rb"20\d{6}T", b"batch_id", b"[0-9a-f]{8}-[0-9a-f]{4}-",
        ):  # fmt: skip
            assert not re.search(trace, content), (name, trace)
    page = first["validation/docs/index.html"].decode()
    assert not re.search("https?:", page) and "../" not in page and "<script" not in page
    assert "values must be greater than or equal to" in page
    assert "50% unexpected" in page
    assert "Data asset: raw" in page


def test_a_critical_expectation_stops_with_a_table_and_leaves_the_data_docs() -> None:
    project(WORDS.replace("SEVERITY", "critical"), FOUR)
    (DATA / "valid").mkdir()
    (DATA / "valid" / "old").write_text("still here")
    with pytest.raises(GristmillError) as error:
        run(STAGE, "small")
    told = str(error.value)
    assert "1 critical expectation not met" in told
    assert "expect_column_values_to_be_between(column=words, min_value=2)" in told
    assert "at least 50 % of the documents" in told and "25 % (3 of 4 fail)" in told
    assert "recipes/small.yaml: validate.expectations[0]" in told
    page = DATA / "validation-failed" / "docs" / "index.html"
    assert f"Data Docs: {page}" in told and "25" in page.read_text()
    assert contents(DATA / "valid") == {"old": b"still here"}
    project(WORDS.replace("SEVERITY", "warning"))
    run(STAGE, "small")
    assert not (DATA / "validation-failed").exists()


def test_a_warning_is_said_and_does_not_stop(capsys: pytest.CaptureFixture[str]) -> None:
    project(WORDS.replace("SEVERITY", "warning"), FOUR)
    report = run(STAGE, "small")
    assert "warning: recipes/small.yaml: validate.expectations[0]" in capsys.readouterr().err
    assert valid_ids() == ["d-1"] and set(reasons()) == {"d-0", "d-2", "d-3"}
    assert report.details["not_met"][0]["observed"] == "25 % (3 of 4 fail)"


def test_info_only_counts(capsys: pytest.CaptureFixture[str]) -> None:
    project(WORDS.replace("SEVERITY", "info"), FOUR)
    report = run(STAGE, "small")
    assert "warning" not in capsys.readouterr().err
    assert len(valid_ids()) == 4 and reasons() == {}
    assert len(report.details["not_met"]) == 1


def test_aggregates_pairs_and_conditions_are_asked_too(caplog: pytest.LogCaptureFixture) -> None:
    project(
        """
  expectations:
    - {expectation: expect_column_mean_to_be_between, column: words, min_value: 3, severity: warning}
    - {expectation: expect_column_pair_values_a_to_be_greater_than_b, column_A: bytes, column_B: characters,
       or_equal: true}
    - {expectation: expect_column_pair_values_a_to_be_greater_than_b, column_A: bytes, column_B: characters,
       mostly: 0, severity: warning}
    - {expectation: expect_column_values_to_not_match_regex, column: text, regex: "^secret", mostly: 0.1}
    - {expectation: expect_column_values_to_be_in_set, column: words, value_set: [9], row_condition: "lines > 1",
       condition_parser: pandas, mostly: 0}
    - {expectation: expect_table_column_count_to_be_between, min_value: 5}
    - {expectation: expect_column_values_to_not_be_null, column: text}""",
        ["é", "secret é", "é\né", "plain"],
    )
    report = run(STAGE, "small")
    assert [one["observed"] for one in report.details["not_met"]] == ["1.5"]
    assert "≈1.5" in (page := (DATA / "validation" / "docs" / "index.html").read_text()) or ">1.5<" in page
    assert "Exception" not in caplog.text  # the library logs it if it cannot render part of a page
    failed = {name: reason.split("(")[0] for name, (reason, _) in reasons().items()}
    assert failed == {
        "d-1": "expect_column_values_to_not_match_regex",
        "d-2": "expect_column_values_to_be_in_set",
        "d-3": "expect_column_pair_values_a_to_be_greater_than_b",
    }


def test_targets_and_labels_can_be_asked_about_and_come_through() -> None:
    project(
        """
  expectations:
    - {expectation: expect_column_values_to_not_be_null, column: target, mostly: 0.5}
    - {expectation: expect_column_values_to_not_be_null, column: label, mostly: 0.5}
    - {expectation: expect_column_values_to_be_in_set, column: label, value_set: [x, y], mostly: 0.5}
    - {expectation: expect_column_values_to_be_between, column: length_ratio, max_value: 3, mostly: 0.5}
    - {expectation: expect_column_values_to_be_between, column: target_words, min_value: 2, mostly: 0.2}
    - {expectation: expect_column_mean_to_be_between, column: target_characters, min_value: 1}""",
        ["one two"] * 4 + ["four"] + ["one two"] * 2,
        target=["un deux", None, "un deux", "un deux", "quatre fois plus que", "un", "un deux"],
        label=["x", "x", None, "z", "y", "x", "y"],
    )
    run(STAGE, "small")
    failed = {name: reason for name, (reason, _) in reasons().items()}
    assert failed == {
        "d-1": "expect_column_values_to_not_be_null(column=target)",
        "d-2": "expect_column_values_to_not_be_null(column=label)",
        "d-3": "expect_column_values_to_be_in_set(column=label, value_set=['x', 'y'])",
        "d-4": "expect_column_values_to_be_between(column=length_ratio, max_value=3)",
        "d-5": "expect_column_values_to_be_between(column=target_words, min_value=2)",
    }
    valid = pq.read_table(DATA / "valid" / "part-00000.parquet").select(["id", "target", "label"]).to_pylist()
    assert [tuple(row.values()) for row in valid] == [("d-0", "un deux", "x"), ("d-6", "un deux", "y")]
    quarantined = pq.read_table(DATA / "quarantine.parquet").select(["id", "target", "label"]).to_pylist()
    assert tuple(quarantined[0].values()) == ("d-1", None, "x")


def test_documents_without_a_value_are_not_among_those_that_mostly_means() -> None:
    project(
        """
  expectations:
    - {expectation: expect_column_values_to_be_between, column: target_words, min_value: 2, severity: warning}""",
        ["a"] * 4,
        target=["un", "un deux", None, None],
    )
    report = run(STAGE, "small")
    (told,) = report.details["not_met"]
    assert told["observed"] == "50 % (1 of 2 fail)"
    assert told["expected"] == "at least 100 % of the documents that have one"
    assert report.produced["documents"] == 3


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ("{expectation: expect_column_values_to_be_between, column: words, min_value: [1]}", "min_value"),
        ("{expectation: expect_column_values_to_match_regex, column: words, regex: '('}", "column_values_to_match"),
        ("{expectation: expect_column_values_to_be_between, column: words}", "min_value and max_value"),
    ],
)
def test_an_expectation_that_cannot_be_asked_is_told_by_its_key(expectation: str, message: str) -> None:
    project(f"\n  expectations:\n    - {expectation}", ["one two"])
    with pytest.raises(RecipeError) as error:
        run(STAGE, "small")
    assert str(error.value).startswith("recipes/small.yaml: validate.expectations[0]: ") and message in str(error.value)


def test_no_documents_are_an_error() -> None:
    project(" {}", [])
    with pytest.raises(GristmillError, match=r"expect_table_row_count_to_be_between\(min_value=1\)\s+min_value 1\s+0"):
        run(STAGE, "small")
    project(" {expectations: []}")
    with pytest.raises(DataError, match=r"data/small/raw: none of 0 documents is valid \(the corpus is empty\)"):
        run(STAGE, "small")


def test_only_problems_are_an_error() -> None:
    project(" {expectations: [], max_problem_share: 1.0}", [("", f"not UTF-8 at byte {n}") for n in (1, 2)])
    with pytest.raises(DataError, match=r"none of 2 documents is valid \(problem in the source: 2\)"):
        run(STAGE, "small")


def test_damaged_and_missing_shards_are_named() -> None:
    project(" {}")
    with pytest.raises(DataError, match="data/small/raw: not found"):
        run(STAGE, "small")
    project(" {}", ["one two"] * 3)
    path = DATA / "raw" / "part-00000.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"data/small/raw/part-00000.parquet: not a valid Parquet file"):
        run(STAGE, "small")
    path.unlink()
    with pytest.raises(DataError, match=r"data/small/raw: no part-\*.parquet found"):
        run(STAGE, "small")


def test_bytes_that_are_no_utf8_are_told_with_their_shard() -> None:
    project(" {}")
    broken = pa.array([b"\xff\xfe"], pa.large_binary()).view(pa.large_string())
    schema = corpus_schema("problem")
    columns = dict.fromkeys(schema.names, pa.array([None], pa.large_string())) | {"text": broken}
    columns |= dict.fromkeys(("id", "group", "source"), pa.array(["x"], pa.large_string()))
    with CorpusWriter(DATA / "raw", schema) as writer:
        writer.write(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))
    with pytest.raises(DataError, match=r"data/small/raw/part-00000.parquet row group 0: .*UTF8"):
        run(STAGE, "small")
