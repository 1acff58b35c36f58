"""What the passes of the stage have to do with each other: rights between splits, and what is kept between runs."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.clean import shard
from tasks.clean.__main__ import STAGE
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.clean.corpus import clean, contents, ids, project, rejected, report, rows, texts
from tests.clean.rules.near.planted import planted

TEST = "  splits: {validation: 0, test: 0, test_groups: [held out]}\n"
NEAR = "  near_duplicates: {}\n"


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(*numbers: int) -> str:
    return " ".join(f"word{n}" for n in numbers)


def test_a_near_duplicate_of_a_test_document_is_not_trained_on(tmp_path: Path) -> None:
    text, other = range(100), range(200, 300)
    given = [
        ("near", "some", words(*text, 1000)),
        ("apart", "some", words(*other)),
        ("same", "some", words(*other)),
        ("kept", "held out", words(*text)),
        ("near, later", "held out", words(*text, 1001)),
    ]
    for row_group in (1, 5):
        out = clean(tmp_path / str(row_group), NEAR + TEST, given, row_group)
        assert ids(out / "train") == ["apart"]
        assert ids(out / "test") == ["kept"]
        assert rejected(out) == {
            "near": ("near_duplicate", "0.990 with kept", "0.8"),
            "same": ("duplicate", "same as apart", None),
            "near, later": ("near_duplicate", "0.990 with kept", "0.8"),
        }


def test_a_document_with_a_run_of_words_of_the_test_split_is_not_trained_on(tmp_path: Path) -> None:
    given = [
        ("quotes it", "some", words(*range(50), *range(500, 513))),
        ("nearly", "some", words(*range(100, 150), *range(500, 512))),
        ("tested", "held out", words(*range(490, 600))),
        ("tested too", "held out", words(*range(500, 513))),
    ]
    out = clean(tmp_path, "  contamination: {}\n" + TEST, given, row_group=2)
    assert ids(out / "train") == ["nearly"]
    assert ids(out / "test") == ["tested", "tested too"]
    assert rejected(out) == {"quotes it": ("contaminated", "1, 0.206 of the words", "1")}


@pytest.mark.parametrize(("chosen", "left"), [("{}", 29), ("{boilerplate: null}", 1), ("{boilerplate: 0.97}", 1)])
def test_a_licence_that_all_documents_share_is_no_contamination(tmp_path: Path, chosen: str, left: int) -> None:
    licence = "Licensed under the terms of Version 2: you may not use this, except in compliance with them."
    given = [(f"d{k}", "some", f"{words(*range(100 * k, 100 * k + 30))}\n{licence}") for k in range(28)]
    given += [(f"t{k}", "held out", f"{licence}\n{words(*range(5000 + 100 * k, 5030 + 100 * k))}") for k in range(2)]
    given += [("apart", "some", words(*range(9000, 9030)))]
    given += [("copied", "some", f"{licence}\n{words(*range(5010, 5023))} and more")]
    out = clean(tmp_path, f"  contamination: {chosen}\n" + TEST, given, row_group=4)
    assert len(ids(out / "train")) == left
    assert "copied" in rejected(out)
    told = report(out)["details"].get("boilerplate")
    assert told == ({"ngrams": 5, "passages": [licence]} if left == 29 else None)


def test_a_paragraph_stays_where_the_model_is_scored_and_goes_elsewhere(tmp_path: Path) -> None:
    notice, own = words(1, 2, 3, 4, 5, 6), [words(*range(start, start + 9)) for start in (10, 20, 30)]
    given = [
        ("first", "some", f"{own[0]}\n\n{notice}"),
        ("notice alone", "some", notice + "."),
        ("tested", "held out", f"{own[1]}\n\n{notice}\n\n{own[2]}"),
    ]
    out = clean(tmp_path, "  duplicate_paragraphs: {}\n" + TEST, given, row_group=1)
    assert texts(out / "train") == {"first": own[0]}
    assert texts(out / "test") == {"tested": given[2][2]}
    assert rejected(out) == {"notice alone": ("duplicate_paragraphs", "too_few_characters: 0", "1")}


@pytest.fixture
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Row groups of a few documents; counts the documents that pass 1 cleans."""
    monkeypatch.setattr("tasks.formats.corpus.BATCH_BYTES", 20_000)
    cleaned: list[int] = []
    clean_batch = shard.clean_batch

    def counted(batch: pa.RecordBatch, *rest: object) -> object:
        cleaned.append(batch.num_rows)
        return clean_batch(batch, *rest)

    monkeypatch.setattr(shard, "clean_batch", counted)
    return cleaned


def corpus(documents: int) -> list[tuple[str, str, str]]:
    return [(f"d{n:04}", f"group {n % 20}", text) for n, text in enumerate(planted(documents, seed=1))]


def test_new_documents_cost_what_is_new_and_the_result_is_that_of_a_full_run(
    tmp_path: Path, small_row_groups: list[int]
) -> None:
    given = corpus(600)
    made = {}
    for name, parts in {"full": [given], "grown": [given[:200] + given[260:], given]}.items():
        data = tmp_path / name / "data" / "small"
        for part in parts:
            small_row_groups.clear()
            if data.exists():
                shutil.rmtree(data / "valid")
            clean(tmp_path / name, NEAR + "  splits: {validation: 0.1, test: 0.1}\n", part)
        made[name] = contents(data / "clean"), contents(data / "scratch"), sum(small_row_groups)
    assert pq.ParquetFile(data / "valid" / "part-00000.parquet").num_row_groups > 15
    assert made["grown"][:2] == made["full"][:2]
    assert made["full"][2] == 600 and 60 <= made["grown"][2] < 180


def test_other_rules_about_documents_clean_anew_and_others_do_not(tmp_path: Path, small_row_groups: list[int]) -> None:
    project(tmp_path, TEST, [*corpus(100), ("t", "held out", "tested")])
    recipe = tmp_path / "recipes" / "small.yaml"
    for section, documents in ((TEST, 101), (TEST + "  contamination: {}\n", 0), (TEST + "  min_words: 1\n", 101)):
        small_row_groups.clear()
        recipe.write_text(f"clean:\n{section}", encoding="utf-8")
        run(STAGE, "small")
        assert sum(small_row_groups) == documents


def test_a_run_that_was_broken_off_goes_on_where_it_was(
    tmp_path: Path, small_row_groups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = project(tmp_path, NEAR + TEST, [*corpus(300), ("t", "held out", "tested")])
    write = shard._write

    def broken(*given: object) -> None:
        if len(small_row_groups) == 5:
            raise KeyboardInterrupt
        write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(shard, "_write", broken)
        with pytest.raises(KeyboardInterrupt):
            run(STAGE, "small")
    done = sum(small_row_groups[:4])
    small_row_groups.clear()
    run(STAGE, "small")
    assert sum(small_row_groups) == 301 - done
    again = contents(data / "clean")
    for path in (data / "scratch" / "clean").iterdir():
        path.unlink()
    run(STAGE, "small")
    assert contents(data / "clean") == again


def test_what_a_pair_answers_is_tested_text_too(tmp_path: Path) -> None:
    answer = words(*range(500, 520))
    given = [
        ("same answer", "some", words(*range(20)), answer),
        ("answer as text", "some", answer, words(*range(20, 40))),
        ("other", "some", words(*range(40, 60)), words(*range(60, 80))),
        ("tested", "held out", words(*range(80, 100)), answer),
    ]
    out = clean(tmp_path, "  contamination: {}\n" + TEST, given, row_group=3)
    assert ids(out / "train") == ["other"]
    assert rejected(out) == {
        "same answer": ("target_contaminated", "8, 1.000 of the words", "1"),
        "answer as text": ("contaminated", "8, 1.000 of the words", "1"),
    }


@pytest.mark.parametrize(
    "exam",
    ["le cafe\u0301 {} ferme\u0301", "le cafÃ© {} fermé", "le caf\u200bé {} fermé", "le café {} fermé joe@example.org"],
)
def test_an_evaluation_file_is_cleaned_before_it_is_compared(exam: str, tmp_path: Path) -> None:
    middle = words(*range(15))
    (tmp_path / "exam.txt").write_text(exam.format(middle))
    given = [
        ("learned", "some", f"le café {middle} fermé" + (" ann@example.org" if "@" in exam else "")),
        ("own", "some", words(*range(30, 60))),
        ("tested", "held out", words(*range(60, 90))),
    ]
    chosen = "  contamination: {ngram: 17, min_words: 17, files: [exam.txt]}\n  privacy: {}\n"
    out = clean(tmp_path, chosen + TEST, given)
    assert ids(out / "train") == ["own"]
    assert report(out)["details"]["evaluation_texts_too_short"] == 0


def test_an_evaluation_file_that_is_not_there_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipes/small.yaml: clean\.contamination\.files: exams: not found"):
        clean(tmp_path, "  contamination: {files: [exams]}\n" + TEST, [("a", "some", words(1, 2))])
    (tmp_path / "exams").mkdir()
    (tmp_path / "exams/a.txt").write_text("a")
    (tmp_path / "exams/more").symlink_to("..")
    with pytest.raises(DataError, match=r"exams/more: a link to the folder \.\.; "):
        run(STAGE, "small")


def test_documents_near_through_others_say_so(tmp_path: Path) -> None:
    given = [(name, "some", words(*range(start, start + 100))) for name, start in (("a", 0), ("b", 8), ("c", 16))]
    out = clean(tmp_path, NEAR + TEST, [*given, ("tested", "held out", words(*range(500, 600)))])
    assert rejected(out) == {
        "b": ("near_duplicate", "0.846 with a", "0.8"),
        "c": ("near_duplicate", "0.714 with a, through others", "0.8"),
    }


def test_nothing_personal_is_left_beside_the_text(tmp_path: Path) -> None:
    row = ("a", "joe@example.org", "From: joe@example.org\n" + words(*range(9)))
    data = project(tmp_path, "  privacy: {}\n" + TEST, [row, ("tested", "held out", words(*range(20, 30)))])
    valid = data / "valid" / "part-00000.parquet"
    table = pq.read_table(valid)
    source = pa.array(["x.txt part 1: From: joe@example.org", "y"], table.schema.field("source").type)
    pq.write_table(table.set_column(table.schema.get_field_index("source"), "source", source), valid)
    run(STAGE, "small")
    out = data / "clean"
    (kept,) = rows(out / "train")
    assert kept["source"] == "x.txt part 1: From: <EMAIL>"
    assert "joe@" not in (out / "report.json").read_text()


def test_blocked_words_and_personal_data_of_a_target_drop_a_pair(tmp_path: Path) -> None:
    chosen = "  blocked_words: {words: [casino bonus]}\n  privacy: {email: {action: drop}}\n" + TEST
    given = [
        ("one", "some", words(1, 2, 3), "a casino bonus here"),
        ("two", "some", words(4, 5, 6), "write to joe@example.org"),
        ("three", "some", words(7, 8, 9), "nothing of that"),
        ("tested", "held out", words(10, 11, 12), "nor that"),
    ]
    out = clean(tmp_path, chosen, given)
    assert {name: reason for name, (reason, *_) in rejected(out).items()} == {
        "one": "target_blocked_words",
        "two": "target_email",
    }


def test_the_funnel_tells_cut_paragraphs_from_rewriting(tmp_path: Path) -> None:
    notice = words(*range(8))
    given = [
        ("first", "some", f"{words(*range(10, 20))}\n\n{notice}"),
        ("second", "some", f"{words(*range(20, 30))}\n\n{notice}"),
        ("tested", "held out", words(*range(30, 40))),
    ]
    out = clean(tmp_path, "  duplicate_paragraphs: {}\n" + TEST, given)
    steps = report(out)["details"]["funnel"]
    assert [step["rules"] for step in steps] == ["received", "repeated paragraphs cut"]
    assert steps[0]["bytes"] - steps[1]["bytes"] == len(f"\n\n{notice}")


def test_a_line_that_varies_beside_boilerplate_is_no_contamination(tmp_path: Path) -> None:
    licence = "Permission is hereby granted to any person obtaining a copy of this work and its papers to deal in it"
    year = [2000 + number % 15 for number in range(60)]  # each in too few documents to be boilerplate itself
    body = [" ".join(f"w{60 * word + number}" for word in range(30)) for number in range(60)]
    rows = [(f"d{n}", "t" if n < 6 else f"g{n}", f"{body[n]}\nCopyright {year[n]} {licence} {n}") for n in range(60)]
    rows.append(("leak", "g", f"{body[0]} and more\nCopyright 1999 {licence} x"))
    out = clean(tmp_path, "  contamination: {}\n  splits: {validation: 0, test: 0, test_groups: [t]}\n", rows)
    assert list(rejected(out)) == ["leak"]
