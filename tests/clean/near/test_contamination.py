import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.near.contamination import EvaluationIndex, Overlaps, overlaps
from tasks.clean.near.settings import ContaminationSettings
from tasks.clean.rules.verdict import Verdict
from tests.clean.near import reference
from tests.clean.near.reference import column


def measured(texts: list[str], evaluated: list[str], **keys: Any) -> Overlaps:
    return overlaps(column(texts), EvaluationIndex.of([column(evaluated)], ContaminationSettings(**keys)))


def plain(text: str, evaluated: list[str], chosen: ContaminationSettings) -> tuple[int, float]:
    """Places where an n-gram begins and the share of words in one, by looking at each place."""
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


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(reference.texts, reference.texts, st.integers(1, 6), st.integers(1, 6))
def test_overlaps_are_those_of_looking_at_each_place(texts: list, evaluated: list, n: int, least: int) -> None:
    chosen = ContaminationSettings(ngram=max(n, least), min_words=min(n, least))
    found = overlaps(column(texts), EvaluationIndex.of([column(evaluated)], chosen))
    expected = [plain(text, evaluated, chosen) for text in texts]
    assert list(zip(found.ngrams.tolist(), found.shares.tolist(), strict=True)) == expected


WORDS = [f"w{number}" for number in range(40)]


@pytest.mark.parametrize(("shared", "goes"), [(12, False), (13, True)])
def test_thirteen_words_in_a_row_are_contamination(shared: int, goes: bool) -> None:
    document = " ".join(["x"] * 20 + WORDS[5 : 5 + shared] + ["y"] * 20)
    found = measured([document, "nothing"], [" ".join(WORDS)])
    chosen = ContaminationSettings()
    assert found.contaminated(chosen).tolist() == [goes, False]
    assert found.verdict(0, chosen) == (
        Verdict("contaminated", f"1, {13 / 53:.3f} of the words", "1") if goes else None
    )


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
    assert (found.verdict(0, ContaminationSettings(**keys)) is not None) == goes
    if keys == {"min_share": 0.5}:
        verdict = found.verdict(0, ContaminationSettings(**keys))
        assert verdict == Verdict("contaminated", "3, 0.500 of the words", "1, 0.5 of the words")


@pytest.mark.parametrize(("length", "goes"), [(7, False), (8, True), (12, True)])
def test_a_short_evaluation_text_is_one_ngram_and_a_very_short_one_is_skipped(length: int, goes: bool) -> None:
    evaluated = " ".join(WORDS[:length])
    index = EvaluationIndex.of([column([evaluated])], ContaminationSettings())
    assert index.skipped == (not goes)
    found = overlaps(column([f"so: {evaluated}!", " ".join(WORDS[: length - 1])]), index)
    assert found.contaminated(ContaminationSettings()).tolist() == [goes, False]


def test_an_index_goes_to_another_process_whole() -> None:
    evaluated = [" ".join(WORDS), " ".join(WORDS[3:12])]
    index = EvaluationIndex.of([column(evaluated)], ContaminationSettings())
    texts = column([*evaluated, "", None, " ".join(WORDS[::-1])])
    one, other = overlaps(texts, index), overlaps(texts, pickle.loads(pickle.dumps(index)))
    assert np.array_equal(one.ngrams, other.ngrams) and np.array_equal(one.shares, other.shares)
    assert one.shares.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    nothing = overlaps(texts, EvaluationIndex.of([column([])], ContaminationSettings()))
    assert not nothing.ngrams.any() and not len(overlaps(texts[:0], index).ngrams)
