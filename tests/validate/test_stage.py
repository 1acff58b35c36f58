import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.formats.corpus import CorpusWriter
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.run import run
from tasks.validate.__main__ import STAGE
from tests.validate.corpus import SCHEMA, ingested, recipe

WORDS = """
  expectations:
    - {expectation: ExpectColumnValuesToBeBetween, column: words, min_value: 2, mostly: 0.5, severity: SEVERITY}"""


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ids(path: Path) -> list[str]:
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    return [name for file in files for name in pq.read_table(file).column("id").to_pylist()]


def reasons(data: Path) -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(data / "quarantine.parquet").to_pylist()
    return {row["id"]: (row["reason"], row["value"]) for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_defaults_put_aside_what_is_no_text_and_keep_the_rest(tmp_path: Path) -> None:
    recipe(tmp_path, " {}")
    texts = [f"document {n}" for n in range(60)]
    data = ingested(tmp_path, [*texts, " \n\t", ("", "not UTF-8 at byte 7"), "with a \x00 in it", "a \ufffd too"])
    report = run(STAGE, "small")
    assert ids(data / "valid") == [*(f"d{n}" for n in range(60)), "d62"]
    assert reasons(data) == {
        "d60": ("expect_column_values_to_be_between(column=words, min_value=1)", "0"),
        "d61": ("not UTF-8 at byte 7", None),
        "d63": ("expect_column_values_to_be_between(column=replacement_characters, max_value=0)", "1"),
    }
    assert report.received == {"documents": 64} and report.produced["documents"] == 61
    assert sum(drop.documents for drop in report.dropped) == 3
    assert json.loads((data / "validation" / "result.json").read_text())["success"] is True


def test_many_problems_in_the_source_stop_the_stage_and_few_are_told(tmp_path: Path, capsys) -> None:
    recipe(tmp_path, " {}")
    data = ingested(tmp_path, [*["text"] * 90, *[("", "not UTF-8 at byte 7")] * 10])
    with pytest.raises(
        GristmillError, match=r"data/small/raw: 10 of 100 documents .*byte 7.*0\.05 .*max_problem_share"
    ):
        run(STAGE, "small")
    assert not (data / "valid").exists()
    recipe(tmp_path, " {max_problem_share: 0.1}")
    assert run(STAGE, "small").produced["documents"] == 90
    assert "warning: 10 of 100 documents have a problem in the source" in capsys.readouterr().err


def test_the_same_documents_give_the_same_outputs_without_a_trace_of_when_and_where(tmp_path: Path) -> None:
    recipe(tmp_path, WORDS.replace("SEVERITY", "warning"))
    data = ingested(tmp_path, ["one", "one two", "one two three", "four"])
    run(STAGE, "small")
    first = contents(data)
    assert {"validation/docs/index.html", "validation/result.json", "valid/report.json"} < set(first)
    run(STAGE, "small")
    assert contents(data) == first
    for name, content in first.items():
        for trace in (
            str(tmp_path).encode(),
            rb"20\d\d-\d\d-\d\d",
            rb"20\d{6}T",
            b"batch_id",
            b"[0-9a-f]{8}-[0-9a-f]{4}-",
        ):
            assert not re.search(trace, content), (name, trace)
    page = first["validation/docs/index.html"].decode()
    assert "http" not in page and "../" not in page and "<script" not in page
    assert "values must be greater than or equal to" in page
    assert "50% unexpected" in page
    assert "Data asset: raw" in page


def test_a_critical_expectation_stops_with_a_table_and_leaves_the_data_docs(tmp_path: Path) -> None:
    recipe(tmp_path, WORDS.replace("SEVERITY", "critical"))
    data = ingested(tmp_path, ["one", "one two", "three", "four"])
    (data / "valid").mkdir()
    (data / "valid" / "old").write_text("still here")
    with pytest.raises(GristmillError) as error:
        run(STAGE, "small")
    told = str(error.value)
    assert "1 critical expectation not met" in told
    assert "expect_column_values_to_be_between(column=words, min_value=2)" in told
    assert "at least 50 % of the documents" in told and "25 % (3 of 4 fail)" in told
    assert "recipes/small.yaml: validate.expectations[0]" in told
    page = data / "validation-failed" / "docs" / "index.html"
    assert f"Data Docs: {page.relative_to(tmp_path)}" in told and "25" in page.read_text()
    assert contents(data / "valid") == {"old": b"still here"}
    recipe(tmp_path, WORDS.replace("SEVERITY", "warning"))
    run(STAGE, "small")
    assert not (data / "validation-failed").exists()


def test_a_warning_is_said_and_does_not_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe(tmp_path, WORDS.replace("SEVERITY", "warning"))
    data = ingested(tmp_path, ["one", "one two", "three", "four"])
    report = run(STAGE, "small")
    assert "warning: recipes/small.yaml: validate.expectations[0]" in capsys.readouterr().err
    assert ids(data / "valid") == ["d1"] and set(reasons(data)) == {"d0", "d2", "d3"}
    assert report.details["not_met"][0]["observed"] == "25 % (3 of 4 fail)"


def test_info_only_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe(tmp_path, WORDS.replace("SEVERITY", "info"))
    data = ingested(tmp_path, ["one", "one two", "three", "four"])
    report = run(STAGE, "small")
    assert "warning" not in capsys.readouterr().err
    assert len(ids(data / "valid")) == 4 and reasons(data) == {}
    assert len(report.details["not_met"]) == 1


def test_aggregates_pairs_and_conditions_are_asked_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe(
        tmp_path,
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
    )
    data = ingested(tmp_path, ["é", "secret é", "é\né", "plain"])
    report = run(STAGE, "small")
    assert [one["observed"] for one in report.details["not_met"]] == ["1.5"]
    assert "≈1.5" in (page := (data / "validation" / "docs" / "index.html").read_text()) or ">1.5<" in page
    assert "Exception" not in caplog.text  # the library logs it if it cannot render part of a page
    failed = {name: reason.split("(")[0] for name, (reason, _) in reasons(data).items()}
    assert failed == {
        "d1": "expect_column_values_to_not_match_regex",
        "d2": "expect_column_values_to_be_in_set",
        "d3": "expect_column_pair_values_a_to_be_greater_than_b",
    }


def test_targets_and_labels_can_be_asked_about_and_come_through(tmp_path: Path) -> None:
    recipe(
        tmp_path,
        """
  expectations:
    - {expectation: expect_column_values_to_not_be_null, column: target, mostly: 0.5}
    - {expectation: expect_column_values_to_not_be_null, column: label, mostly: 0.5}
    - {expectation: expect_column_values_to_be_in_set, column: label, value_set: [x, y], mostly: 0.5}
    - {expectation: expect_column_values_to_be_between, column: length_ratio, max_value: 3, mostly: 0.5}
    - {expectation: expect_column_values_to_be_between, column: target_words, min_value: 2, mostly: 0.2}
    - {expectation: expect_column_mean_to_be_between, column: target_characters, min_value: 1}""",
    )
    targets = ["un deux", None, "un deux", "un deux", "quatre fois plus que", "un", "un deux"]
    data = ingested(
        tmp_path, ["one two"] * 4 + ["four"] + ["one two"] * 2, targets, ["x", "x", None, "z", "y", "x", "y"]
    )
    run(STAGE, "small")
    failed = {name: reason for name, (reason, _) in reasons(data).items()}
    assert failed == {
        "d1": "expect_column_values_to_not_be_null(column=target)",
        "d2": "expect_column_values_to_not_be_null(column=label)",
        "d3": "expect_column_values_to_be_in_set(column=label, value_set=['x', 'y'])",
        "d4": "expect_column_values_to_be_between(column=length_ratio, max_value=3)",
        "d5": "expect_column_values_to_be_between(column=target_words, min_value=2)",
    }
    valid = pq.read_table(data / "valid" / "part-00000.parquet").select(["id", "target", "label"]).to_pylist()
    assert [tuple(row.values()) for row in valid] == [("d0", "un deux", "x"), ("d6", "un deux", "y")]
    quarantined = pq.read_table(data / "quarantine.parquet").select(["id", "target", "label"]).to_pylist()
    assert tuple(quarantined[0].values()) == ("d1", None, "x")


def test_documents_without_a_value_are_not_among_those_that_mostly_means(tmp_path: Path, capsys) -> None:
    recipe(
        tmp_path,
        """
  expectations:
    - {expectation: expect_column_values_to_be_between, column: target_words, min_value: 2, severity: warning}""",
    )
    ingested(tmp_path, ["a"] * 4, ["un", "un deux", None, None])
    report = run(STAGE, "small")
    (told,) = report.details["not_met"]
    assert told["observed"] == "50 % (1 of 2 fail)"
    assert told["expected"] == "at least 100 % of the documents that have one"
    assert report.produced["documents"] == 3


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ("{expectation: expect_column_values_to_be_between, column: words, min_value: [1]}", "min_value"),
        (
            "{expectation: expect_column_values_to_match_regex, column: words, regex: '('}",
            "expect_column_values_to_match",
        ),
        ("{expectation: expect_column_values_to_be_between, column: words}", "min_value and max_value"),
    ],
)
def test_an_expectation_that_cannot_be_asked_is_told_by_its_key(expectation: str, message: str, tmp_path: Path) -> None:
    recipe(tmp_path, f"\n  expectations:\n    - {expectation}")
    ingested(tmp_path, ["one two"])
    with pytest.raises(RecipeError) as error:
        run(STAGE, "small")
    assert str(error.value).startswith("recipes/small.yaml: validate.expectations[0]: ") and message in str(error.value)


def test_no_documents_are_an_error(tmp_path: Path) -> None:
    recipe(tmp_path, " {}")
    ingested(tmp_path, [])
    with pytest.raises(GristmillError, match=r"expect_table_row_count_to_be_between\(min_value=1\)\s+min_value 1\s+0"):
        run(STAGE, "small")
    recipe(tmp_path, " {expectations: []}")
    with pytest.raises(DataError, match=r"data/small/raw: none of 0 documents is valid \(the corpus is empty\)"):
        run(STAGE, "small")


def test_only_problems_are_an_error(tmp_path: Path) -> None:
    recipe(tmp_path, " {expectations: [], max_problem_share: 1.0}")
    ingested(tmp_path, [("", "not UTF-8 at byte 1"), ("", "not UTF-8 at byte 2")])
    with pytest.raises(DataError, match=r"none of 2 documents is valid \(problem in the source: 2\)"):
        run(STAGE, "small")


def test_damaged_and_missing_shards_are_named(tmp_path: Path) -> None:
    recipe(tmp_path, " {}")
    with pytest.raises(DataError, match="data/small/raw: not found"):
        run(STAGE, "small")
    data = ingested(tmp_path, ["one two"] * 3)
    path = data / "raw" / "part-00000.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"data/small/raw/part-00000.parquet: not a valid Parquet file"):
        run(STAGE, "small")
    path.unlink()
    with pytest.raises(DataError, match=r"data/small/raw: no part-\*.parquet found"):
        run(STAGE, "small")


def test_bytes_that_are_no_utf8_are_told_with_their_shard(tmp_path: Path) -> None:
    recipe(tmp_path, " {}")
    broken = pa.array([b"\xff\xfe"], pa.large_binary()).view(pa.large_string())
    columns = dict.fromkeys(SCHEMA.names, pa.array([None], pa.large_string())) | {"text": broken}
    columns |= dict.fromkeys(("id", "group", "source"), pa.array(["x"], pa.large_string()))
    with CorpusWriter(tmp_path / "data" / "small" / "raw", SCHEMA) as writer:
        writer.write(pa.RecordBatch.from_arrays(list(columns.values()), schema=SCHEMA))
    with pytest.raises(DataError, match=r"data/small/raw/part-00000.parquet row group 0: .*UTF8"):
        run(STAGE, "small")
