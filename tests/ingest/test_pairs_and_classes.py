"""Targets and labels of tables, and labels of paths; a document that lacks one is kept with its problem."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.stage.errors import DataError, RecipeError
from tests.ingest.conftest import read_report, write_rows

PAIRS = [{"translation": {"en": "yes", "fr": "oui"}}, {"translation": {"en": "no\r\n", "fr": "non\r\n"}}]
NESTED = {"text_column": "translation.en", "target_column": "translation.fr"}


def test_a_dotted_name_reaches_into_a_column_of_every_format_that_has_such(run):
    write_rows("a.jsonl", PAIRS)
    write_rows("b.parquet", PAIRS)
    for name in ("a.jsonl", "b.parquet"):
        rows = run(kind="files", files=[name], documents=NESTED)
        assert [(row["text"], row["target"], row["label"], row["problem"]) for row in rows] == [
            ("yes", "oui", None, None),
            ("no\n", "non\n", None, None),
        ]


def test_a_column_that_is_called_so_comes_before_one_inside_another(run):
    both = {"text": "a", "x.y.z": "whole", "x.y": {"z": "half"}, "x": {"y": {"z": "deep"}}}
    for there in (both, {k: both[k] for k in ("text", "x.y", "x")}, {k: both[k] for k in ("text", "x")}):
        write_rows("a.jsonl", [there])
        write_rows("b.parquet", [there])
        for name in ("a.jsonl", "b.parquet"):
            (row,) = run(kind="files", files=[name], documents={"target_column": "x.y.z"})
            assert row["target"] == ("whole" if "x.y.z" in there else "half" if "x.y" in there else "deep")


def test_labels_are_texts_whole_numbers_and_booleans(run):
    write_rows("a.jsonl", [{"text": "a", "c": c} for c in (" spam ", 3, -1, True, False)])
    Path("b.csv").write_text("text,c\na,spam\n")
    pq.write_table(pa.table({"text": ["a"], "c": pa.array([7], pa.uint8())}), "c.parquet")
    pq.write_table(pa.table({"text": ["a"], "c": pa.array(["x"]).dictionary_encode()}), "d.parquet")
    rows = run(kind="files", files=["a.jsonl", "b.csv", "c.parquet", "d.parquet"], documents={"label_column": "c"})
    assert [row["label"] for row in rows] == ["spam", "3", "-1", "true", "false", "spam", "7", "x"]
    assert {(row["target"], row["problem"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize("what", ["target", "label"])
def test_a_document_without_its_target_or_label_has_a_problem(run, what):
    write_rows("a.jsonl", [{"text": "a", "x": {"y": value}} for value in ("fine", None, "", " \n", "good")])
    write_rows("b.jsonl", [{"text": "a", "x": None}, {"text": "a", "x": {}}])
    pq.write_table(pa.table({"text": ["a", "a"], "x": pa.array([None, {"y": ""}])}), "c.parquet")
    rows = run(kind="files", files=["a.jsonl", "b.jsonl", "c.parquet"], documents={f"{what}_column": "x.y"})
    places = [f"a.jsonl line {n}" for n in (2, 3, 4)] + [f"b.jsonl line {n}" for n in (1, 2)]
    places += [f"c.parquet row {n}" for n in (1, 2)]
    assert [(row[what], row["problem"]) for row in rows] == [
        ("fine", None),
        *((None, f"no {what} in {place}: nothing in the column 'x.y'") for place in places[:3]),
        ("good", None),
        *((None, f"no {what} in {place}: nothing in the column 'x.y'") for place in places[3:]),
    ]
    assert read_report()["details"]["problems"]["documents"] == 7


def test_a_value_that_is_no_text_and_no_class_is_a_problem(run):
    for what, value, said, kind in (("target", 1.5, "1.5", "float"), ("label", ["x"], '["x"]', "list")):
        write_rows(
            "a.jsonl", [{"text": "a", what: "b"} | wrong for wrong in ({what: value}, {"text": 3}, {"text": None})]
        )
        rows = run(kind="files", files=["a.jsonl"], documents={f"{what}_column": what})
        assert [(row["text"], row[what], row["problem"]) for row in rows] == [
            ("a", said, f"{what} is no text, but {kind}, in a.jsonl line 1"),
            ("3", "b", "text is no text, but int, in a.jsonl line 2"),
            ("", "b", "no text in a.jsonl line 3"),
        ]


def test_wrong_bytes_and_surrogates_in_a_target_or_label_are_mended_and_told(run):
    write_rows("a.jsonl", [{"text": "a", "t": "x\ud800y", "c": "k"}, {"text": "a", "t": "b", "c": "\udfff"}])
    wrong = {name: pa.array([b"ok", b"a\xff"]).view(pa.string()) for name in ("t", "c")}
    fine = pa.array(["a", "a"])
    pq.write_table(pa.table({"text": fine, "t": wrong["t"], "c": fine}), "b.parquet")
    nested = pa.StructArray.from_arrays([wrong["c"]], ["c"])
    pq.write_table(pa.table({"text": fine, "t": fine, "c": wrong["c"]}), "c.parquet")
    rows = run(kind="files", files=["a.jsonl", "b.parquet"], documents={"target_column": "t"})
    assert [(row["target"], row["problem"]) for row in rows] == [
        ("x\ufffdy", "lone surrogate at character 1 of t in a.jsonl line 1"),
        ("b", None),
        ("ok", None),
        ("a\ufffd", "not UTF-8 at byte 1 of t in b.parquet row 2"),
    ]
    rows = run(kind="files", files=["a.jsonl", "c.parquet"], documents={"label_column": "c"})
    assert [(row["label"], row["problem"]) for row in rows] == [
        ("k", None),
        ("\ufffd", "lone surrogate at character 0 of c in a.jsonl line 2"),
        ("ok", None),
        ("a\ufffd", "not UTF-8 at byte 1 of c in c.parquet row 2"),
    ]
    pq.write_table(pa.table({"text": fine, "x": nested}), "d.parquet")
    rows = run(kind="files", files=["d.parquet"], documents={"label_column": "x.c"})
    assert [row["problem"] for row in rows] == [None, "not UTF-8 at byte 1 of x.c in d.parquet row 2"]


@pytest.mark.parametrize(
    ("task", "documents", "sentences"),
    [
        ("causal-lm", {"target_column": "t"}, ["target_column: causal-lm does not read the target; "]),
        ("masked-lm", {"label_column": "c"}, ["label_column: masked-lm does not read the label; "]),
        ("translation", {"label_column": "c"}, ["target_column: no target; ", "label_column: translation does not "]),
        ("classification", {"target_column": "t", "label_column": "c"}, ["target_column: classification does not"]),
    ],
)
def test_a_column_that_the_task_does_not_read_is_refused_without_check_too(run, task, documents, sentences):
    write_rows("a.jsonl", [{"text": "a", "t": "b", "c": "k"}])
    with pytest.raises(RecipeError) as told:
        run(task, kind="files", files=["a.jsonl"], documents=documents)
    lines = str(told.value).splitlines()
    assert len(lines) == len(sentences)
    for line, sentence in zip(lines, sentences, strict=True):
        assert line.startswith(f"recipes/x.yaml: ingest.documents.{sentence}")
    assert not Path("data/x/raw").exists()


def test_an_absent_column_is_told_with_those_there_are(run):
    write_rows("a.jsonl", [{"text": "a", "x": 1}, {"text": "a", "x": 1, "z": 2}])
    write_rows("d.jsonl", [{"text": "a", "x": 1}] * 1000 + [{"text": "a", "y": 1}])
    Path("b.csv").write_text("text,x\na,b\n")
    write_rows("c.parquet", [{"text": "a", "x": {"y": "b"}}])
    for name, column in {"a.jsonl": "y", "b.csv": "x.y", "c.parquet": "x.z", "d.jsonl": "y"}.items():
        for what in ("text", "target", "label", "id", "group"):
            with pytest.raises(
                DataError, match=rf"^{name}: no column '{column}' \(available: text, x\)(; did you mean x\.y\?)?$"
            ):
                run(kind="files", files=[name], documents={f"{what}_column": column})


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("what", ["text", "target", "label", "id", "group"])
def test_a_row_that_leaves_out_a_key_is_put_aside_as_with_null(run, name, what):
    whole = {"text": "a", "k": "b"}
    write_rows(name, [{"text": "a"}, {"text": "a", "k": None}, whole, whole | {"k": "c"}])
    rows = run(kind="files", files=[name], documents={f"{what}_column": "k"})
    unit = "line" if name == "a.jsonl" else "row"
    told = [row["problem"] for row in rows]
    assert told[2:] == [None, None]
    assert told[:2] == [
        f"no k in {name} {unit} {n}" if what == "text" else f"no {what} in {name} {unit} {n}: nothing in the column 'k'"
        for n in (1, 2)
    ]
    last = ["b", "c"] if what == "id" else [f"{name}#3", f"{name}#4"]
    assert [row["id"] for row in rows] == [f"{name}#1", f"{name}#2", *last]


@pytest.mark.parametrize("what", ["label", "group"])
def test_a_folder_per_class_or_group_gives_the_labels_or_groups_of_text_files(run, what):
    for name in ("mail/ham/1.txt", "mail/ham/2.txt", "mail/spam/1.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"of {name}\n# more")
    wanted = {f"{what}_pattern": "mail/([^/]+)/"}
    rows = run(kind="files", files=["mail/**/*.txt"], documents=wanted)
    folders = [("mail/ham/1.txt", "ham"), ("mail/ham/2.txt", "ham"), ("mail/spam/1.txt", "spam")]
    assert [(row["id"], row[what]) for row in rows] == folders
    parts = run(kind="files", files=["mail/*/1.txt"], documents={**wanted, "split_at": "^#"})
    assert [(row["id"], row[what]) for row in parts] == [
        (f"mail/{name}/1.txt#{n}", name) for name in ("ham", "spam") for n in (1, 2)
    ]
    told = rf"x\.yaml: ingest\.documents\.{what}_pattern: no {what} found in the path 'mail/"
    with pytest.raises(RecipeError, match=told):
        run(kind="files", files=["mail/**/*.txt"], documents={f"{what}_pattern": "spam"})


def test_a_table_per_class_gives_the_labels_of_its_rows(run):
    for name in ("good", "bad"):
        with Path(f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["text"], [f"{name} one"], [f"{name} two"]])
    rows = run(kind="files", files=["*.csv"], documents={"label_pattern": r"^(\w+)\.csv$"})
    told = [(row["text"], row["label"]) for row in rows]
    assert told == [("bad one", "bad"), ("bad two", "bad"), ("good one", "good"), ("good two", "good")]


@pytest.mark.parametrize("key", ["target_column", "label_column", "group_column", "id_column"])
def test_a_text_file_has_no_columns(run, key):
    Path("a.txt").write_text("a")
    with pytest.raises(RecipeError, match=rf"ingest\.documents\.{key}: a\.txt is a text file and has no columns"):
        run(kind="files", files=["a.txt"], documents={key: "x"})


def test_a_single_class_is_refused(run):
    write_rows("a.jsonl", [{"text": "a", "c": "x"}, {"text": "b", "c": "x"}])
    with pytest.raises(RecipeError, match=r"^recipes/x\.yaml: ingest\.documents\.label_column: every document"):
        run(kind="files", files=["a.jsonl"], documents={"label_column": "c"})
