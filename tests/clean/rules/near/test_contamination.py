import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.near.contamination import EvaluationIndex, Overlaps, overlaps
from tasks.clean.rules.near.evaluation_files import texts_in
from tasks.clean.rules.near.settings import ContaminationSettings
from tasks.clean.verdict import Verdict
from tasks.stage.errors import DataError
from tests.clean.rules.near import reference
from tests.clean.rules.near.reference import column


def index_of_files(paths: list[Path], chosen: ContaminationSettings) -> EvaluationIndex:
    return EvaluationIndex.of_columns((texts for path in paths for texts in texts_in(path)), chosen)


def measured(texts: list[str], evaluated: list[str], **keys: Any) -> Overlaps:
    return overlaps(column(texts), EvaluationIndex.of(column(evaluated), ContaminationSettings(**keys)))


def plain(text: str, evaluated: list[str], chosen: ContaminationSettings) -> tuple[int, float]:
    """Positions where an n-gram begins and the fraction of words covered, position by position."""
    found, begins, covered = reference.words(text), set(), set()
    for other in evaluated:
        words = reference.words(other)
        length = min(chosen.ngram, len(words))
        if len(words) < chosen.min_words:
            continue
        ngrams = {tuple(words[place : place + length]) for place in range(len(words) - length + 1)}
        for place in range(len(found) - length + 1):
            if tuple(found[place : place + length]) in ngrams:
                begins.add(place)
                covered.update(range(place, place + length))
    return len(begins), len(covered) / len(found) if found else 0.0


@settings(max_examples=300)
@given(reference.texts, reference.texts, st.integers(1, 6), st.integers(1, 6))
def test_overlaps_are_those_of_looking_at_each_place(texts: list, evaluated: list, n: int, least: int) -> None:
    chosen = ContaminationSettings(ngram=max(n, least), min_words=min(n, least))
    found = overlaps(column(texts), EvaluationIndex.of(column(evaluated), chosen))
    expected = [plain(text, evaluated, chosen) for text in texts]
    assert list(zip(found.ngrams.tolist(), found.shares.tolist(), strict=True)) == expected


WORDS = [f"w{number}" for number in range(40)]


@pytest.mark.parametrize(("shared", "goes"), [(12, False), (13, True)])
def test_thirteen_words_in_a_row_are_contamination(shared: int, goes: bool) -> None:
    document = " ".join(["x"] * 20 + WORDS[5 : 5 + shared] + ["y"] * 20)
    found = measured([document, "nothing"], [" ".join(WORDS)])
    chosen = ContaminationSettings()
    assert found.contaminated(chosen).tolist() == [goes, False]
    if goes:
        assert found.verdict(0, chosen) == Verdict("contaminated", f"1, {13 / 53:.3f} of the words", "1")


@pytest.mark.parametrize(
    ("keys", "goes"),
    [
        ({"min_ngrams": 3}, True),
        ({"min_ngrams": 4}, False),
        ({"min_share": 0.5}, True),
        ({"min_share": 0.501}, False),
        ({"min_ngrams": 4, "min_share": 0.5}, False),
    ],
)
def test_the_thresholds_can_be_raised(keys: dict, goes: bool) -> None:
    document = " ".join(WORDS[:15] + ["x"] * 15)
    found = measured([document], [" ".join(WORDS)])
    assert (found.ngrams.tolist(), found.shares.tolist()) == ([3], [0.5])
    assert found.contaminated(ContaminationSettings(**keys)).tolist() == [goes]
    if keys == {"min_share": 0.5}:
        verdict = found.verdict(0, ContaminationSettings(**keys))
        assert verdict == Verdict("contaminated", "3, 0.500 of the words", "1, 0.5 of the words")


@pytest.mark.parametrize(("length", "goes"), [(7, False), (8, True), (12, True)])
def test_a_short_evaluation_text_is_one_ngram_and_a_very_short_one_is_skipped(length: int, goes: bool) -> None:
    evaluated = " ".join(WORDS[:length])
    index = EvaluationIndex.of(column([evaluated]), ContaminationSettings())
    assert index.skipped == (not goes)
    found = overlaps(column([f"so: {evaluated}!", " ".join(WORDS[: length - 1])]), index)
    assert found.contaminated(ContaminationSettings()).tolist() == [goes, False]


def test_an_index_goes_to_another_process_whole(tmp_path: Path) -> None:
    evaluated = [" ".join(WORDS), " ".join(WORDS[3:12]), "too short"]
    index = EvaluationIndex.of(column(evaluated), ContaminationSettings())
    texts = column([*evaluated, "", None, " ".join(WORDS[::-1])])
    index.write(tmp_path / "index")
    one = overlaps(texts, index)
    for again in (pickle.loads(pickle.dumps(index)), EvaluationIndex.read(tmp_path / "index")):
        other = overlaps(texts, again)
        assert np.array_equal(one.ngrams, other.ngrams) and np.array_equal(one.shares, other.shares)
        assert again.skipped == index.skipped == 1
    assert one.shares.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    nothing = overlaps(texts, EvaluationIndex.of(column([]), ContaminationSettings()))
    assert not nothing.ngrams.any() and not len(overlaps(texts[:0], index).ngrams)


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    path = tmp_path / "index"
    EvaluationIndex.of(column([" ".join(WORDS)]), ContaminationSettings()).write(path)
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-8], whole[:24], whole[:32], b"", b"x" * 80):
        path.write_bytes(content)
        with pytest.raises(DataError, match="index: not a"):
            EvaluationIndex.read(path)


QUESTION, CHOICES, KIND = " ".join(WORDS[:20]), [" ".join(WORDS[8:21]), " ".join(WORDS[20:])], " ".join(WORDS[13::-1])


def table(rows: int) -> pa.Table:
    """A row with strings in every kind of column."""
    nothing = [None] * (rows - 1)
    return pa.table(
        {
            "number": [1, *nothing],
            "question": pa.array([QUESTION, *nothing], pa.string()),
            "kind": pa.array([KIND, *nothing]).dictionary_encode(),
            "choices": [CHOICES, *nothing],
            "more": [{"deep": [{"text": f"{QUESTION} more"}]}, *nothing],
        }
    )


FILES: dict[str, Callable[[Path], object]] = {
    "a.parquet": lambda path: pq.write_table(table(3), path),
    "a.jsonl": lambda path: path.write_text(
        "\n".join(["", *(json.dumps(row) for row in table(3).to_pylist()), '["\\ud800 x", 3]']), "utf-8"
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_every_string_of_a_file_is_an_evaluation_text(name: str, whole_folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "deep" / name
    path.parent.mkdir()
    FILES[name](path)
    (path.parent / "notes.md").write_text(" ".join(WORDS[::-1]))
    found = index_of_files([tmp_path if whole_folder else path], ContaminationSettings())
    texts = [QUESTION, *CHOICES, KIND, f"{QUESTION} more"]
    expected = EvaluationIndex.of(column(texts), ContaminationSettings())
    assert set(found.sets) == set(expected.sets) == {13}
    assert found.sets[13].hashes().tolist() == expected.sets[13].hashes().tolist()
    assert len(expected.sets[13]) == 8 + 1 + 8 + 2 + 1  # the last one with "more"
    assert found.skipped >= 1


def test_a_text_file_is_one_text_and_several_files_are_one_set(tmp_path: Path) -> None:
    for number, part in enumerate((WORDS[:20], WORDS[20:])):
        (tmp_path / f"{number}.txt").write_bytes(b"\xef\xbb\xbf" + "\n\n".join(part).encode())
    paths = [tmp_path / "0.txt", tmp_path / "1.txt"]
    found = index_of_files(paths, ContaminationSettings())
    assert len(found.sets[13]) == 8 + 8
    again = index_of_files(paths[::-1], ContaminationSettings())
    assert again.sets[13].hashes().tolist() == found.sets[13].hashes().tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'"a"\n\n{"a": ', "x.jsonl line 3: not JSON"),
        ("x.jsonl", b"[" * 100_000, "x.jsonl line 1: not JSON"),
        ("x.jsonl", b'"\xff"', "x.jsonl: not UTF-8"),
        ("x.txt", b"\xff", "x.txt: not UTF-8"),
        ("x.parquet", b"PAR1", "x.parquet"),
        ("x.csv", b"a,b", "x.csv: no evaluation texts; expected a .parquet, .jsonl, .txt file"),
    ],
)
def test_a_file_without_evaluation_texts_is_told(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        index_of_files([tmp_path / name], ContaminationSettings())
    assert message in str(error.value)
    with pytest.raises(DataError, match="nothing: no evaluation texts"):
        index_of_files([tmp_path / "nothing"], ContaminationSettings())
