"""What differs between two records, without MLflow."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.changes.differences import Changes, find_changes
from tasks.changes.record import Record
from tasks.changes.settings import find_settings
from tasks.changes.tables import notes, summary, tables
from tasks.stage.errors import GristmillError
from tasks.stage.task import FAMILIES
from tests.changes import language_rows, make_record, texts, write_scores

TEST = texts(60)


@pytest.fixture
def old(tmp_path: Path) -> Record:
    train = {"a#1": "one", "a#2": "two", "a#3": "three"}
    return make_record(tmp_path / "old", "tiny:1", TEST, train=train)


def shown(changes: Changes) -> str:
    return json.dumps(changes.to_json()) + str(tables(changes)) + str(summary(changes)) + str(notes(changes))


def test_a_better_model_is_called_better_with_its_interval(old: Record, tmp_path: Path) -> None:
    new = make_record(tmp_path / "new", "tiny:2", TEST, loss=0.8, steps=20)
    found = find_changes(old, new)
    assert found.scores is not None
    first = found.scores.metrics[0]
    assert first.comparison is not None and first.comparison.verdict == "better"
    assert first.comparison.gain == pytest.approx(0.2 / 0.6931, rel=0.01)
    assert first.comparison.low > 0
    assert len(found.scores.better) == 5 and found.scores.worse == ()
    assert "both were scored on the same test text" in shown(found)
    assert [(each.key, each.old, each.new) for each in found.settings] == [("train.steps", "10", "20")]
    assert found.curves[1] is not None and len(found.curves[1].loss) == 20


def test_a_key_of_a_source_is_told_with_its_name() -> None:
    old = [{"name": "plays", "weight": 3, "files": ["a", "b"]}, {"name": "bible", "weight": 1}]
    new = [
        {"name": "plays", "weight": 2, "files": ["a", "b"]},
        {"name": "bible", "weight": 1},
        {"name": "exam", "split": "test"},
    ]
    found = find_settings({"ingest": {"sources": old}}, {"ingest": {"sources": new}})
    assert [(each.key, each.old, each.new) for each in found] == [
        ("ingest.sources", "nothing more, and 2 that both have", "exam, and 2 that both have"),
        ("ingest.sources.plays.weight", "3", "2"),
        ("ingest.sources.exam.split", None, "test"),
    ]
    found = find_settings({"sources": old}, {"sources": old[::-1]})
    assert [each.old for each in found] == ['["plays", "bible"]']


def test_slices_by_group_and_length_add_up(old: Record, tmp_path: Path) -> None:
    found = find_changes(old, make_record(tmp_path / "new", "tiny:2", TEST, loss=0.8)).scores
    assert found is not None
    kinds = {each.kind for each in found.slices}
    assert kinds == {"group", "length"}
    assert sum(each.documents for each in found.slices if each.kind == "length") == len(TEST)
    assert all(each.gain == pytest.approx(0.2 / 0.6931, rel=0.02) for each in found.slices)


def test_documents_that_came_went_changed_and_moved_are_named(old: Record, tmp_path: Path) -> None:
    test = {**TEST, "a#2": "two"}
    new = make_record(tmp_path / "new", "tiny:2", test, train={"a#1": "one, rewritten", "b#9": "nine", "c#3": "three"})
    found = find_changes(old, new)
    train = next(each for each in found.documents if each.stage == "train")
    assert (train.old, train.new, train.same) == (3, 3, 0)
    assert train.came and train.went and train.changed
    assert [each.id for each in train.came.examples] == ["b#9", "c#3"] and train.came.examples[0].new == "nine"
    assert [each.id for each in train.went.examples] == ["a#2", "a#3"] and train.went.examples[0].old == "two"
    assert [(each.id, each.old, each.new) for each in train.changed.examples] == [("a#1", "one", "one, rewritten")]
    assert train.renamed == 1  # `three` is c#3 now
    (move,) = found.moves
    assert (move.old, move.new, move.documents, move.examples) == ("train", "test", 1, ("a#2",))
    assert any("1 document of the test text of tiny:2 stood in the training text" in text for text in summary(found))


def test_on_other_test_texts_only_what_both_share_is_compared(old: Record, tmp_path: Path) -> None:
    names = list(TEST)
    test = {**dict(list(TEST.items())[:40]), names[0]: "another text under the same id", "new#1": "a new text"}
    rows = language_rows(test, 0.8)
    rows["bits_per_byte"][0] = 0.0  # would be the best by far
    new = make_record(tmp_path / "new", "tiny:2", test, rows=rows, data="d2")
    found = find_changes(old, new).scores
    assert found is not None
    assert "39 of their 60 and 41 documents are in both, unchanged" in found.basis
    first = found.metrics[0].comparison
    assert first is not None and first.documents == 39
    assert names[0] not in [each.id for each in found.better]


def test_a_champion_that_was_scored_again_is_compared_on_the_new_text(old: Record, tmp_path: Path) -> None:
    test = texts(50, word="other")
    new = make_record(tmp_path / "new", "tiny:2", test, loss=0.8, data="d2")
    again = tmp_path / "again"
    write_scores(again, "causal-lm", {"bits_per_byte": 1.5}, language_rows(test, 1.0), "d2")
    kept = {f"rescored/0a/{path.name}": path for path in again.iterdir()}
    found = find_changes(replace(old, files={**old.files, **kept}), new).scores
    assert found is not None and found.basis == "tiny:1 was scored again on the test text of tiny:2"
    first = found.metrics[0].comparison
    assert first is not None and (first.verdict, first.documents, found.metrics[0].old) == ("better", 50, 1.5)


def test_too_few_shared_documents_are_not_compared(old: Record, tmp_path: Path) -> None:
    new = make_record(tmp_path / "new", "tiny:2", texts(60, word="other"), data="d2")
    found = find_changes(old, new)
    assert found.scores is not None and found.scores.metrics[0].comparison is None
    assert "0 of their 60 and 60 documents are in both, unchanged, which is too few" in found.scores.basis
    assert summary(found)[0].startswith("no verdict: the two were scored on different test texts")


def test_the_same_texts_under_other_ids_are_seen(old: Record, tmp_path: Path) -> None:
    test = {f"x{name}" if number < 30 else name: text for number, (name, text) in enumerate(TEST.items())}
    found = find_changes(old, make_record(tmp_path / "new", "tiny:2", test, loss=0.8))
    assert found.scores is not None and "30 of their 60 and 60" in found.scores.basis
    raw = next(each for each in found.documents if each.stage == "raw")
    assert raw.renamed == 30


def _signature(record: Record, **other: str) -> Record:
    path = record.files["evaluation/metrics.json"]
    content = json.loads(path.read_text())
    for key, value in other.items():
        content["signature"] = "|".join(
            f"{key}:{value}" if part.startswith(f"{key}:") else part for part in content["signature"].split("|")
        )
    path.write_text(json.dumps(content))
    return record


def test_other_settings_of_the_evaluation_are_named_and_nothing_is_compared(old: Record, tmp_path: Path) -> None:
    new = _signature(make_record(tmp_path / "new", "tiny:2", TEST), window="128")
    found = find_changes(old, new).scores
    assert found is not None and found.basis == "the two were evaluated with other settings (window 64 and 128)"
    assert [each.comparison for each in found.metrics] == [None]


def test_another_tokenizer_leaves_metrics_per_text(old: Record, tmp_path: Path) -> None:
    new = _signature(make_record(tmp_path / "new", "tiny:2", TEST, loss=0.8), tok="bbb")
    found = find_changes(old, new).scores
    assert found is not None
    assert {each.name: each.comparison is not None for each in found.metrics} == {"bits_per_byte": True}


def test_classes_show_both_labels(tmp_path: Path) -> None:
    def rows(right: int) -> dict[str, list[Any]]:
        labels = ["cat", "dog"] * 30
        predicted = [label if number < right else "dog" for number, label in enumerate(labels)]
        chances = [0.9 if label == guess else 0.2 for label, guess in zip(labels, predicted, strict=True)]
        return {
            "id": list(TEST), "group": list(TEST), "label": labels, "predicted": predicted,
            "probability": [0.9] * 60, "label_probability": chances,
        }  # fmt: skip

    one, other = (
        make_record(tmp_path / name, name, TEST, task="classification", rows=rows(right))
        for name, right in (("old", 20), ("new", 50))
    )
    found = find_changes(one, other).scores
    assert found is not None
    assert {each.kind for each in found.slices} == {"label", "length"}  # each document is its own group
    cat = next(each for each in found.slices if each.name == "cat")
    assert (cat.metric, cat.documents, cat.old, cat.new) == (
        "accuracy",
        30,
        pytest.approx(1 / 3),
        pytest.approx(25 / 30),
    )
    assert dict(found.better[0].outputs) == {
        "text": TEST[found.better[0].id], "old": "dog (90%)", "new": "cat (90%)", "label": "cat"
    }  # fmt: skip


def test_pairs_show_both_outputs_and_the_reference(tmp_path: Path) -> None:
    def rows(word: str, chrf: float) -> dict[str, list[Any]]:
        reference = ["the cat sat on the mat"] * 60
        return {
            "id": list(TEST), "group": [name.split("#")[0] for name in TEST], "prediction": [f"the {word} sat"] * 60,
            "reference": reference, "chrf": [chrf + number % 3 for number in range(60)],
        }  # fmt: skip

    one, other = (
        make_record(tmp_path / name, name, TEST, task="translation", rows=rows(*given))
        for name, given in (("old", ("dog", 30.0)), ("new", ("cat", 50.0)))
    )
    found = find_changes(one, other)
    assert found.scores is not None
    compared = {each.name: each.comparison for each in found.scores.metrics}
    assert compared["chrf"] is not None and compared["chrf"].gain > 0
    shown = dict(found.scores.better[0].outputs)
    assert (shown["old"], shown["new"], shown["reference"]) == ("the dog sat", "the cat sat", "the cat sat on the mat")


def test_chats_show_both_answers_and_slices_by_their_number(tmp_path: Path) -> None:
    def rows(word: str, chrf: float, loss: float) -> dict[str, list[Any]]:
        score = [None if number % 4 == 3 else chrf + number % 3 for number in range(60)]
        return {
            "id": list(TEST), "group": [name.split("#")[0] for name in TEST], "bytes": [20 + n % 5 for n in range(60)],
            "tokens": [9] * 60, "loss": [loss + number % 3 for number in range(60)],
            "turns": [1 + number % 2 for number in range(60)], "prediction": [f"a {word}"] * 60,
            "reference": ["a cat"] * 60, "chrf": score, "rougeL": score, "exact_match": [float(word == "cat")] * 60,
            "ended": [1.0] * 60,
        }  # fmt: skip

    one, other = (
        make_record(tmp_path / name, name, TEST, task="chat", rows=rows(*given))
        for name, given in (("old", ("dog", 30.0, 9.0)), ("new", ("cat", 50.0, 8.0)))
    )
    found = find_changes(one, other).scores
    assert found is not None
    compared = {each.name: each.comparison for each in found.metrics}
    assert all(compared[name] is not None for name in FAMILIES["chat"].metrics)
    assert compared["chrf"] is not None and compared["chrf"].gain == pytest.approx(20)
    assert {each.kind for each in found.slices} == {"group", "length", "answers"}
    assert [each.name for each in found.slices if each.kind == "answers"] == ["1", "2"]
    assert found.better[0].measure == "chrf" and not found.worse
    shown = dict(found.better[0].outputs)
    assert (shown["old"], shown["new"], shown["reference"]) == ("a dog", "a cat", "a cat")


def test_a_model_against_itself_is_the_same(old: Record) -> None:
    found = find_changes(replace(old, run_id="r1"), replace(old, run_id="r1"))
    assert found.same and tables(found) == []
    assert summary(found) == ["tiny:1 and tiny:1 are the same model: nothing differs"]


def test_models_of_two_tasks_are_refused(old: Record, tmp_path: Path) -> None:
    rows = {"id": ["a"], "group": ["a"], "label": ["x"], "predicted": ["x"], "label_probability": [1.0]}
    other = make_record(
        tmp_path / "new", "bert:1", {"a": "a"}, task="classification", rows={**rows, "probability": [1.0]}
    )
    with pytest.raises(GristmillError, match="tiny:1 is a causal-lm model and bert:1 a classification model"):
        find_changes(old, other)


def test_what_an_older_run_lacks_is_said(old: Record, tmp_path: Path) -> None:
    new = make_record(tmp_path / "new", "tiny:2", TEST)
    bare = replace(old, files={"recipes/tiny.yaml": old.files["recipes/tiny.yaml"]}, corpora={})
    found = find_changes(bare, new)
    assert found.scores is not None and found.scores.basis == "no evaluation is recorded for tiny:1"
    assert "not recorded for tiny:1" in {each.note for each in found.documents}
    told = notes(found)
    for part in ("the learning curve", "the commit", "the packages", "the versions of the stages' code"):
        assert any(part in note and "tiny:1" in note for note in told), part


def test_an_older_run_without_lists_is_read_from_its_corpus(old: Record, tmp_path: Path) -> None:
    new = make_record(tmp_path / "new", "tiny:2", {**TEST, "b#1": "more"}, data="d2")
    older = replace(old, files={name: path for name, path in old.files.items() if not name.startswith("documents/")})
    found = find_changes(older, new)
    assert found.scores is not None and "60 of their 60 and 61 documents" in found.scores.basis


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("documents/test.parquet", "not a list of documents"),
        ("evaluation/scores.parquet", "tiny:1: evaluation/scores.parquet: damaged"),
        ("training/history.csv", "tiny:1: training/history.csv line 2: expected a step and its losses"),
        ("evaluation/metrics.json", "tiny:1: evaluation/metrics.json: invalid JSON"),
    ],
)
def test_a_damaged_file_costs_its_part_alone(old: Record, tmp_path: Path, name: str, told: str) -> None:
    old.files[name].write_text("step,loss\nx,y\n")
    found = find_changes(old, make_record(tmp_path / "new", "tiny:2", TEST, steps=20))
    assert told in shown(found)
    assert found.settings


def test_two_empty_evaluations_have_no_verdict(tmp_path: Path) -> None:
    rows = {name: [] for name in language_rows(TEST, 1.0)}
    one, other = (make_record(tmp_path / name, name, TEST, rows=rows) for name in ("old", "new"))
    found = find_changes(one, other).scores
    assert found is not None and "old and new: no document was scored" in found.basis


def test_lists_show_what_differs_and_secrets_are_not_shown() -> None:
    old = {"ingest": {"paths": ["a", "b"], "url": "https://me:secret@host/x"}, "description": "one"}
    new = {"ingest": {"paths": ["b", "c"], "url": "https://host/y"}, "description": "two", "train": {"lr": 0.1}}
    found = {each.key: (each.old, each.new) for each in find_settings(old, new)}
    assert found == {
        "ingest.paths": ("a, and 1 that both have", "c, and 1 that both have"),
        "ingest.url": ("https://host/x", "https://host/y"),
        "train.lr": (None, "0.1"),
    }


def test_lists_in_another_order_differ() -> None:
    assert [(each.old, each.new) for each in find_settings({"a": [1, 2]}, {"a": [2, 1]})] == [("[1, 2]", "[2, 1]")]
