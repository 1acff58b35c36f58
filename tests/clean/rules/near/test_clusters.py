from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.near.clusters import join, keepers_of, roots, squeeze
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.jaccard import Comparer
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tests.clean.rules.near import reference
from tests.clean.rules.near.reference import sketched

some_pairs = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40)
ALL = np.arange(20, dtype=np.uint32)


def both(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(pairs, np.uint32).reshape(-1, 2).T
    return first.copy(), second.copy()


@settings(max_examples=200)
@given(some_pairs, some_pairs, st.randoms(use_true_random=False), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_clusters_do_not_depend_on_the_order_of_the_pairs(
    pairs: list, asked: list, random, priorities: list[int]
) -> None:
    expected = reference.roots(20, pairs)
    for _ in range(2):
        parents = ALL.copy()
        join(parents, *both(pairs))
        assert roots(parents, ALL.copy()).tolist() == expected
        keepers = keepers_of(parents, np.array(priorities, np.uint8)).tolist()
        for document in range(20):
            together = [other for other in range(20) if expected[other] == expected[document]]
            assert keepers[document] == min(together, key=lambda other: (priorities[other], other))
        random.shuffle(pairs)
        pairs = [(other, one) for one, other in pairs]
    asked = sorted((min(pair), max(pair)) for pair in asked)
    numbers = np.array([one << 32 | other for one, other in asked], np.uint64)
    kept = squeeze(parents, numbers)
    left = [(one, other) for one, other in sorted(set(asked)) if expected[one] != expected[other]]
    assert [(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in numbers[:kept]] == left


def comparer(texts: list[str], folder: Path, ngram: int, memory: int) -> Comparer:
    chosen = NearDuplicateSettings(ngram=ngram, bands=1, rows=1)
    return Comparer(SketchFiles([sketched(folder / "a.sketch", texts, chosen)], 1), ngram, memory)


@pytest.mark.parametrize("memory", [1, 1000, 1 << 24])
def test_similarities_are_exact_whatever_the_memory(memory: int, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(list("abcd"), random.integers(1, 60))) for _ in range(40)] + ["x " * 5000]
    pairs = [(one, other) for one in range(41) for other in range(41)]
    random.shuffle(pairs)
    first, second = both(pairs)
    ours = comparer(texts, tmp_path, 3, memory)
    expected = [reference.jaccard(texts[one], texts[other], 3) for one, other in pairs]
    assert ours.similarities(first, second).tolist() == expected
    least = ours.similarities(first, second, 0.3).tolist()
    for found, exact in zip(least, expected, strict=True):
        assert found == exact if exact >= 0.3 else found < 0.3


@pytest.mark.parametrize("memory", [1, 1 << 24])
def test_pairs_of_the_threshold_are_joined_and_those_below_are_not(memory: int, tmp_path: Path) -> None:
    texts = ["a b c d", "a b c d e", "a b c d e f g", "x y", "y x"]
    ours = comparer(texts, tmp_path, 1, memory)
    first, second = both([(0, 1), (1, 2), (0, 3), (3, 4)])
    for threshold, middle in ((0.8, [0, 2]), (0.801, [1, 2]), (0.714, [0, 0]), (1.0, [1, 2])):
        parents = ALL[:5].copy()
        ours.join(first, second, parents, threshold)
        assert roots(parents, ALL[:5].copy()).tolist() == [0, *middle, 3, 3]
