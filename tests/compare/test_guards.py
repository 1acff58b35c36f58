"""Guards on metrics and slices: kept, broken, no evidence; all of them together at 5 %."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.compare.documents import Documents
from tasks.compare.guards import FEWEST, OTHERS, GuardResult, check_guards, holm
from tasks.compare.settings import Guard, problems
from tasks.compare.slices import slices
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.settings import validate
from tests.compare.scores import documents
from tests.evaluate.projects import write_corpus

RECIPE = Path("recipes/x.yaml")
ENGLISH = "This package contains the shared libraries of the program, and some others, part {}."
FRENCH = "Ce paquet contient les bibliothèques partagées du programme, et d'autres, partie {}."


def classes(
    right: dict[str, tuple[float, float]], each: int, groups: int, seed: int = 0
) -> tuple[Documents, Documents]:
    """Two classifiers: per label, how often the new and the old one are right; `groups` per label."""
    random = np.random.default_rng(seed)
    labels = [label for label in right for _ in range(each)]
    names = [f"{label}{number % groups}" for label in right for number in range(each)]
    models = []
    for side in (0, 1):
        hits = [random.random() < right[label][side] for label in labels]
        guesses = [label if hit else "?" for label, hit in zip(labels, hits, strict=True)]
        models.append(documents("classification", names, label=labels, predicted=guesses))
    return models[0], models[1]


def split_of(folder: Path, new: Documents, **columns: Any) -> Path:
    """A test split with these documents."""
    texts = columns.pop("texts", None) or [f"text {name}" for name in new.ids]
    write_corpus(folder, texts, new.groups, id=new.ids, **columns)
    return folder


def check(guards: list[Guard], new: Documents, old: Documents, folder: Path, **columns: Any) -> list[GuardResult]:
    if new.task == "classification":
        columns["label"] = new.strings("label")
    split = split_of(folder / "test", new, **columns)
    return check_guards(guards, new, old, "accuracy", {}, split, RECIPE)


def test_a_class_that_became_worse_is_named_with_its_worst_documents(tmp_path: Path) -> None:
    new, old = classes({"a": (0.9, 0.6), "b": (0.9, 0.7), "c": (0.3, 0.9)}, each=90, groups=15)
    found = check([Guard(by="label"), Guard()], new, old, tmp_path)
    assert [(each.value, each.outcome) for each in found] == [
        ("a", "kept"), ("b", "kept"), ("c", "broken"), (None, "kept")
    ]  # fmt: skip
    broken = found[2]
    assert broken.p is not None and broken.p < 0.05 and broken.high is not None and broken.high < 0
    assert broken.gain == pytest.approx(broken.new - broken.old) and broken.gain < -0.4  # type: ignore[operator]
    assert (broken.documents, broken.groups, broken.units) == (90, 15, "groups")
    places = [new.ids.index(each.id) for each in broken.worst]
    assert len(places) == 5 and all(180 <= place < 270 for place in places)
    assert all((each.new, each.old) == (0.0, 1.0) for each in broken.worst)
    told = broken.sentence()
    assert told.startswith("broken: accuracy of label c: ") and "worse by 0." in told
    assert f"worst documents: {broken.worst[0].id} (0.0000 against 1.0000), " in told
    assert "a loss of 0." in found[3].sentence() and "would have been found" in found[3].sentence()
    assert json.loads(json.dumps(found[2].to_json(), allow_nan=False))["worst"][0]["new"] == 0.0


def test_a_loss_within_the_tolerance_is_kept(tmp_path: Path) -> None:
    new, old = classes({"a": (0.6, 0.9)}, each=200, groups=40)
    (strict, lax) = check([Guard(), Guard(tolerance=0.4)], new, old, tmp_path)
    assert (strict.outcome, lax.outcome) == ("broken", "kept")
    assert strict.low is not None and lax.detectable is not None and lax.detectable > 0.4


def test_another_metric_can_be_guarded(tmp_path: Path) -> None:
    """A class that is rare hardly moves the accuracy, and much the macro F1."""
    new, old = classes({"a": (0.97, 0.9)}, each=400, groups=40)
    rare, before = classes({"b": (0.05, 0.95)}, each=20, groups=20, seed=1)
    columns = {name: new.strings(name) + rare.strings(name) for name in ("label", "predicted")}
    earlier = {name: old.strings(name) + before.strings(name) for name in ("label", "predicted")}
    groups = new.groups + rare.groups
    both = (documents("classification", groups, **each) for each in (columns, earlier))
    accuracy, f1 = check([Guard(), Guard(metric="macro_f1")], *both, folder=tmp_path)
    assert (accuracy.outcome, f1.outcome, f1.name) == ("kept", "broken", "macro_f1")


def test_a_slice_of_one_group_is_tested_over_its_documents(tmp_path: Path) -> None:
    new, old = classes({"a": (0.9, 0.9), "b": (0.3, 0.9)}, each=60, groups=1)
    kept, broken = check([Guard(by="group")], new, old, tmp_path)
    assert [(kept.outcome, kept.units), (broken.outcome, broken.units)] == [
        ("kept", "documents"), ("broken", "documents")
    ]  # fmt: skip
    assert "on 60 documents in 1 group, tested over the documents of its only group" in broken.sentence()


def test_slices_without_evidence_do_not_pass_silently(tmp_path: Path) -> None:
    rates = {"a": (0.5, 0.5), "b": (0.5, 0.5), "c": (0.5, 0.5)}
    new, old = classes(rates, each=FEWEST, groups=5)
    few = [Documents(each.task, each.table.slice(0, 2 * FEWEST + 3), each.path) for each in (new, old)]
    *others, small = check([Guard(by="label")], few[0], few[1], tmp_path)
    assert [each.outcome for each in others] == ["kept", "kept"]
    assert small.sentence() == "no evidence: accuracy of label c: 3 documents, and a slice needs at least 10"
    named = check([Guard(by="label", value="c")], few[0], few[1], tmp_path)
    assert [(each.value, each.outcome, each.p) for each in named] == [("c", "no evidence", None)]


def test_small_slices_are_tested_together(tmp_path: Path) -> None:
    names = [f"l{number // 4}" for number in range(40)]
    guesses = [["?"] * 40, names]
    new, old = (documents("classification", names, label=names, predicted=each) for each in guesses)
    (found,) = check([Guard(by="label")], new, old, tmp_path)
    assert (found.value, found.documents, found.groups, found.outcome) == (OTHERS, 40, 10, "broken")


def test_metrics_that_cannot_be_computed_are_no_evidence(tmp_path: Path) -> None:
    groups = [f"g{number % 10}" for number in range(40)]
    sizes = np.arange(40) + 10
    new, old = (documents("causal-lm", groups, bytes=sizes, tokens=sizes + off, loss=sizes) for off in (0, 1))
    split = split_of(tmp_path / "test", new)
    guards = [Guard(metric="perplexity"), Guard()]
    tokens, text = check_guards(guards, new, old, "bits_per_byte", {}, split, RECIPE)
    assert tokens.outcome == "no evidence" and "different tokenizers, and perplexity is per token" in tokens.sentence()
    assert (text.outcome, text.p, text.gain) == ("kept", 0.5, 0.0)
    masked = [0] * 20 + [5] * 20
    both = [documents("masked-lm", groups, masked=masked, right=masked, loss=masked) for _ in range(2)]
    texts = ["x"] * 20 + ["xyz"] * 20
    split = split_of(tmp_path / "other", both[0], texts=texts)
    found = check_guards([Guard(by="length")], *both, "masked_accuracy", {}, split, RECIPE)
    assert [(each.value, each.outcome) for each in found] == [("middle", "kept"), ("short", "no evidence")]
    assert "masked_accuracy is undefined, for the documents have no text to score" in found[1].sentence()


def test_a_slice_that_no_document_is_in_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    new, old = classes({"north": (0.5, 0.5), "south": (0.5, 0.5)}, each=12, groups=6)
    told = r"x\.yaml: register\.guards\.1\.value: no test document has the label 'nort'; did you mean north\?"
    with pytest.raises(RecipeError, match=told):
        check([Guard(), Guard(by="label", value="nort")], new, old, tmp_path)
    with pytest.raises(DataError, match=r"part-00000\.parquet: no column color \(available: id, group"):
        check([Guard(by="color")], new, old, tmp_path)


def test_a_split_of_other_documents_is_told(tmp_path: Path) -> None:
    new, old = classes({"a": (0.5, 0.5)}, each=20, groups=6)
    split = split_of(tmp_path / "test", Documents(new.task, new.table.slice(1), new.path))
    with pytest.raises(DataError, match=r"test: not the documents of scores\.parquet; run the stage evaluate again"):
        check_guards([Guard(by="group")], new, old, "accuracy", {}, split, RECIPE)


def test_all_guards_together_are_rarely_broken_by_chance(tmp_path: Path) -> None:
    """Twenty slices: without an adjustment 40 of 100 models that are not worse would break one."""
    broken = alone = 0
    rates = {f"class{number:02}": (0.7, 0.7) for number in range(20)}
    for seed in range(100):
        new, old = classes(rates, each=40, groups=20, seed=seed)
        if seed == 0:
            split = split_of(tmp_path / "test", new, label=new.strings("label"))
        found = check_guards([Guard(by="label")], new, old, "accuracy", {}, split, RECIPE)
        broken += any(each.outcome == "broken" for each in found)
        alone += any(each.high is not None and each.high < 0 for each in found)
    assert broken <= 10 and alone > 20


def test_p_is_adjusted_as_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == [] and holm([0.02]) == [0.02]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"metric": "bits_per_bite"}, "guard.metric: 'bits_per_bite' is not one of .*; did you mean bits_per_byte?"),
        ({"by": "text"}, "guard.by: each document has its own text; name a column that documents share"),
        ({"value": "en"}, "guard.value: needs `by`, the column that has this value"),
        ({"tolerance": -1}, "guard.tolerance: must be at least 0"),
        ({"by": ""}, "guard.by: must have at least 1 characters"),
        ({"at_most": 1}, "guard.at_most"),
    ],
)
def test_a_guard_that_makes_no_sense_is_told(content: dict, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        validate(Guard, content, RECIPE, "guard")


def test_a_guard_that_does_not_fit_the_task_is_told() -> None:
    assert next(problems(Guard(metric="chrf"), "causal-lm")).startswith("metric: chrf is not a metric of causal-lm (")
    assert list(problems(Guard(by="label"), "causal-lm")) == ["by: documents of causal-lm have no label"]
    assert list(problems(Guard(by="label", metric="accuracy"), "classification")) == []
    (unknown,) = problems(Guard(by="lenght"), "causal-lm")
    assert unknown.startswith("by: the corpus has no column 'lenght' (available: group") and unknown.endswith("length?")


def test_slices_by_length_language_and_source(tmp_path: Path) -> None:
    texts = ["x" * number for number in (1, 2, 2, 2, 3, 9, 9, 9, 50)]
    write_corpus(tmp_path / "lengths", texts, ["g"] * 9)
    found = slices(tmp_path / "lengths", "length")
    assert found == ["short"] * 4 + ["middle"] * 4 + ["long"]
    texts = [ENGLISH.format(1), FRENCH.format(2), "7 7 7"]
    write_corpus(tmp_path / "languages", texts, ["a", "b", "a"], label=["x", None, "y"])
    assert slices(tmp_path / "languages", "language") == ["en", "fr", "uncertain"]
    assert slices(tmp_path / "languages", "label") == ["x", "(none)", "y"]
    assert slices(tmp_path / "languages", "group") == ["a", "b", "a"]
    with pytest.raises(DataError, match="languages: no document has a target"):
        slices(tmp_path / "languages", "target")


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("plays/macbeth.md part 3: Act 1 / part 2", "plays/macbeth.md"),
        ("a b.csv row 17", "a b.csv"),
        ("x.jsonl line 4", "x.jsonl"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_a_source_is_the_file_without_the_place(source: str, file: str, tmp_path: Path) -> None:
    import pyarrow as pa

    from tasks.formats.corpus import CorpusWriter, corpus_schema

    row = {"id": "d", "group": "g", "text": "t", "source": source}
    with CorpusWriter(tmp_path / "split", corpus_schema()) as writer:
        writer.write(pa.RecordBatch.from_pylist([row], corpus_schema()))
    assert slices(tmp_path / "split", "source") == [file]
