from pathlib import Path

import pytest

from tasks.clean.__main__ import STAGE
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.clean.corpus import clean, contents, ids, project, rejected, report, rows, texts

SPLITS = "  splits: {validation: 0.2, test: 0.2}\n"
ALONE = "  splits: {validation: 0, test: 0}\n"


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def documents(count: int = 60) -> list[tuple[str, str, str]]:
    return [(f"d{n}", f"group {n % 20}", f"the text of\r\ndocument {n} ") for n in range(count)]


def test_every_document_is_in_one_split_or_rejected_with_its_reason(tmp_path: Path) -> None:
    short, again = ("short", "group 0", "\u200b ab \n"), ("again", "group 1", "the text of\ndocument 7")
    more = [short, again, ("none", "g", "\x00")]
    data = project(tmp_path, "  min_characters: 5\n" + SPLITS, documents() + more)
    told = run(STAGE, "small")
    out = data / "clean"
    splits = {name: rows(out / name) for name in ("train", "validation", "test")}
    kept = [row for split in splits.values() for row in split]
    assert sorted(row["id"] for row in kept) == sorted(name for name, *_ in documents())
    assert {row["text"] for row in kept} == {f"the text of\ndocument {n}" for n in range(60)}
    groups = [{row["group"] for row in split} for split in splits.values()]
    assert all(groups) and not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert rejected(out) == {
        "short": ("too_few_characters", "3", "5"),
        "again": ("duplicate", "same as d7", None),
        "none": ("too_few_characters", "0", "5"),
    }
    assert texts(out / "rejected.parquet")["short"] == " ab"
    written = report(out)
    assert written["received"]["documents"] == 63 == sum(written["produced"].values()) + 3
    dropped = {drop["reason"]: drop["documents"] for drop in written["dropped"]}
    assert list(dropped.items()) == [("too_few_characters", 2), ("duplicate", 1)]
    assert told.dropped[0].examples == ["short: value 3, threshold 5", "none: value 0, threshold 5"]
    assert written["details"]["rewritten"] == {
        "blank_lines": 1, "control_characters": 2, "line_ends": 60, "trailing_blanks": 61
    }  # fmt: skip
    assert written["details"]["splits"]["test"]["groups"] == len(groups[2])


def test_of_the_same_text_the_first_in_order_stays_and_may_stay_if_asked(tmp_path: Path) -> None:
    twice = [("a", "g", "same "), ("b", "h", "same"), ("c", "g", "same\n")]
    out = clean(tmp_path, ALONE, twice, row_group=1)
    assert ids(out / "train") == ["a"]
    assert ids(out / "rejected.parquet") == ["b", "c"]
    (tmp_path / "recipes" / "small.yaml").write_text(f"clean:\n  exact_duplicates: keep\n{ALONE}")
    run(STAGE, "small")
    assert ids(out / "train") == ["a", "b", "c"]


def test_splits_stay_when_documents_are_added(tmp_path: Path) -> None:
    def written(root: Path, given: list[tuple[str, str, str]]) -> dict[str, str]:
        out = clean(root, SPLITS, given)
        return {row["id"]: name for name in ("train", "validation", "test") for row in rows(out / name)}

    before = written(tmp_path / "before", documents())
    after = written(tmp_path / "after", [(f"new{n}", f"new {n}", f"new {n}") for n in range(40)] + documents())
    assert {name: split for name, split in after.items() if name in before} == before


def test_cleaning_what_was_cleaned_changes_nothing(tmp_path: Path) -> None:
    out = clean(tmp_path, SPLITS, documents())
    first = rows(out / "train")
    given = [(row["id"], row["group"], row["text"]) for row in first]
    out = clean(tmp_path / "again", ALONE, given)
    assert texts(out / "train") == {row["id"]: row["text"] for row in first}
    assert report(out)["details"]["rewritten"] == {} and report(out)["dropped"] == []


def test_one_line_of_fifty_megabytes_is_a_document_like_any_other(tmp_path: Path) -> None:
    line = "words, words " * 4_000_000
    out = clean(tmp_path, ALONE, [("long", "g", line), ("lines", "h", "\n" * 10**6 + "x")])
    assert [len(row["text"]) for row in rows(out / "train")] == [len(line) - 1, 1]


def classes(**labels: int) -> list[tuple[str | None, ...]]:
    return [
        (f"{label} {n}", f"{label} {n}", f"text {label} {n}", None, label)
        for label, count in labels.items()
        for n in range(count)
    ]


FAILURES = [
    ("  min_words: 100\n", documents(), DataError,
     "recipes/small.yaml: clean: all 60 documents were dropped (too_few_words 60)"),
    ("  min_words: 1\n", [], DataError,
     "data/small/valid: it has no documents"),
    ("  splits: {validation: 0.1, test: 0.01}\n", [("a", "one", "a"), ("b", "two", "b")], DataError,
     "recipes/small.yaml: clean.splits.validation: the validation split would be empty: none of the 2 groups"),
    ("  splits: {validation: 0, test: 0, test_groups: [one]}\n", [("a", "one", "a"), ("b", "one", "b")], DataError,
     "recipes/small.yaml: clean.splits: the train split would be empty: none of the 1 group fell into it"),
    ("  splits: {validation: 0, test: 0, test_groups: [hamlte]}\n", [("a", "hamlet", "a")], RecipeError,
     "recipes/small.yaml: clean.splits.test_groups: no group 'hamlte' in the corpus (there are: hamlet)"),
    ("  splits: {validation: 0, test: 0, test_groups: [two]}\n", [(n, n, "text") for n in ("a", "b", "two")], DataError,
     "the train split would be empty: all 2 documents in it were dropped (duplicate 2)"),
    ("  splits: {validation: 0, test: 0, test_groups: [y 0, y 1]}\n", classes(x=2, y=2), DataError,
     "'y' has 2 (train 0, validation 0, test 2); drop such labels"),
    ("  min_documents_per_label: 3\n", documents(), RecipeError,
     "recipes/small.yaml: clean.min_documents_per_label: no document of data/small/valid has a label"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "given", "error", "message"), FAILURES)
def test_what_cannot_be_is_told_in_a_sentence_and_the_last_good_outputs_stay(
    section: str, given: list, error: type[Exception], message: str, tmp_path: Path
) -> None:
    data = tmp_path / "data" / "small"
    (data / "clean").mkdir(parents=True)
    (data / "clean" / "old").write_text("still here")
    with pytest.raises(error) as raised:
        clean(tmp_path, section, given)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert contents(data / "clean") == {"old": b"still here"}
    assert sorted(path.name for path in data.iterdir()) == ["clean", "scratch", "valid"]


def pairs(count: int = 40) -> list[tuple[str | None, ...]]:
    return [(f"d{n}", f"group {n % 20}", f"text {n}\r\n", f"texte {n} \u200b") for n in range(count)]


def test_targets_are_rewritten_as_texts_are_and_stay_with_them(tmp_path: Path) -> None:
    more = [("long", "g", "one", "un deux trois"), ("same", "g", "two", "two\n"), ("again", "g", "text 3", "autre")]
    keys = "  max_length_ratio: 2.5\n  identical_sides: drop\n" + SPLITS
    out = clean(tmp_path, keys, pairs() + more)
    kept = [row for name in ("train", "validation", "test") for row in rows(out / name)]
    assert {row["id"]: (row["text"], row["target"], row["label"]) for row in kept} == {
        f"d{n}": (f"text {n}", f"texte {n}", None) for n in range(40)
    }
    assert {row["id"]: (row["reason"], row["target"]) for row in rows(out / "rejected.parquet")} == {
        "long": ("length_ratio", "un deux trois"),
        "same": ("identical_sides", "two"),
        "again": ("duplicate", "autre"),
    }
    details = report(out)["details"]
    assert details["rewritten"] == {
        "blank_lines": 41, "control_characters": 40, "line_ends": 40, "trailing_blanks": 40,
    }  # fmt: skip
    size = sum(split["bytes"] for split in details["splits"].values())
    assert size == sum(len(f"text {n}texte {n}") for n in range(40))
    assert "labels" not in details


def test_the_report_tells_the_documents_of_each_label_in_each_split(tmp_path: Path) -> None:
    out = clean(tmp_path, SPLITS, classes(b=40, a=60))
    told = report(out)["details"]["labels"]
    assert list(told) == ["a", "b"] and list(told["a"]) == ["train", "validation", "test"]
    for name in ("train", "validation", "test"):
        kept = rows(out / name)
        for label in "ab":
            assert told[label][name] == sum(row["label"] == label for row in kept) > 0


def test_rare_labels_are_an_error_that_says_what_to_do_or_go(tmp_path: Path) -> None:
    given = classes(often=60, once=1, twice=2)
    with pytest.raises(DataError) as raised:
        clean(tmp_path, SPLITS, given)
    assert "recipes/small.yaml: clean.splits: every label needs at least 2 documents" in str(raised.value)
    assert "'once' has 1 (train " in str(raised.value) and "clean.min_documents_per_label" in str(raised.value)
    out = clean(tmp_path / "again", "  min_documents_per_label: 3\n" + SPLITS, given, row_group=7)
    assert rejected(out) == {
        "once 0": ("rare_label", "1", "3"),
        "twice 0": ("rare_label", "2", "3"),
        "twice 1": ("rare_label", "2", "3"),
    }


def test_a_pair_in_another_language_goes(tmp_path: Path) -> None:
    english = "This package contains the shared libraries of the program, and some others, part {}."
    french = "Ce paquet contient les bibliothèques partagées du programme, et d'autres, partie {}."
    given = [(f"d{n}", f"g{n}", english.format(n), (french, english)[n % 4 == 0].format(n + 1000)) for n in range(80)]
    out = clean(tmp_path, "  languages: {text: en, target: fr}\n" + SPLITS, given)
    assert list(rejected(out)) == [f"d{n}" for n in range(0, 80, 4)]
    assert {reason for reason, *_ in rejected(out).values()} == {"target_other_language"}


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    data = project(tmp_path, SPLITS, documents())
    path = data / "valid" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"data/small/valid/part-00000.parquet: not a valid Parquet file"):
        run(STAGE, "small")
