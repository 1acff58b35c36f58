from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.near.duplicates import DOCUMENT_MEMORY, NearDuplicates, near_duplicates
from tasks.clean.rules.near.jaccard import Comparer
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.workers.parallel_map import parallel_map
from tests.clean.rules.near import reference
from tests.clean.rules.near.memory import peak_memory
from tests.clean.rules.near.planted import from_a_template, planted
from tests.clean.rules.near.reference import sketched

SURE = {"bands": 300, "rows": 1, "max_bucket": 1024}
"""With this many bands of one row, a pair with similarity 1/3 is missed with probability 10^-53."""


def sketched_part(part: tuple[Path, Sequence[str]], chosen: NearDuplicateSettings) -> Path:
    return sketched(*part, chosen)


def search(
    folder: Path,
    texts: Sequence[str],
    priorities: Sequence[int] | None = None,
    cut: int = 1000,
    processes: int = 1,
    memory: int = 1 << 24,
    **keys: Any,
) -> NearDuplicates:
    chosen = NearDuplicateSettings(**keys)
    folder.mkdir(exist_ok=True)
    parts = [(folder / f"{begin:06d}.sketch", texts[begin : begin + cut]) for begin in range(0, len(texts), cut)]
    paths = list(parallel_map(partial(sketched_part, chosen=chosen), parts, processes))
    return near_duplicates(paths, chosen, None if priorities is None else np.array(priorities, np.uint8), memory)


def together(found: NearDuplicates, pairs: Sequence[tuple[int, int]]) -> float:
    """Fraction of pairs with both documents in one cluster."""
    return float(np.mean([found.keepers[one] == found.keepers[other] for one, other in pairs]))


@settings(max_examples=40)
@given(st.lists(reference.few_words, max_size=25), st.sampled_from([0.4, 0.5, 2 / 3, 0.8, 1.0]), st.data())
def test_clusters_are_those_of_comparing_all_with_all(tmp_path_factory, texts: list, threshold: float, data) -> None:
    priorities = data.draw(st.lists(st.integers(0, 2), min_size=len(texts), max_size=len(texts)))
    folder = tmp_path_factory.mktemp("all")
    found = search(folder, texts, priorities, cut=7, ngram=2, threshold=threshold, **SURE)
    roots = reference.roots(len(texts), reference.near_pairs(texts, 2, threshold))
    for document, root in enumerate(roots):
        cluster = [other for other in range(len(texts)) if roots[other] == root]
        keeper = min(cluster, key=lambda other: (priorities[other], other))
        assert found.keepers[document] == keeper
        exact = 1.0 if keeper == document else reference.jaccard(texts[document], texts[keeper], 2)
        assert found.similarities[document] == np.float32(exact)
        assert found.staying()[document] == (keeper == document)


def test_what_differs_in_capitals_and_punctuation_alone_is_near_and_what_has_no_words_is_not(tmp_path: Path) -> None:
    texts = ["", "The same, text.", "🙂", "the SAME\ntext", "🙂", "", "the other text", "The same, text."]
    found = search(tmp_path, texts)
    assert found.keepers.tolist() == [0, 1, 2, 1, 4, 5, 6, 1]
    assert found.similarities.tolist() == [1.0] * 8


def test_a_chain_is_one_cluster_and_each_end_is_told_how_near_it_is(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(120)]
    texts = [" ".join(words[begin : begin + 100]) for begin in (0, 8, 16)]
    near, far = reference.jaccard(texts[0], texts[1], 5), reference.jaccard(texts[0], texts[2], 5)
    assert far < 0.8 <= near
    found = search(tmp_path, texts, **SURE)
    assert found.keepers.tolist() == [0, 0, 0]
    assert found.similarities.tolist() == np.array([1, near, far], np.float32).tolist()


def test_a_hundredth_of_the_near_pairs_at_most_is_missed_and_nothing_else_goes(tmp_path: Path) -> None:
    texts = planted(1500, seed=1)
    pairs = reference.near_pairs(texts, 5, 0.8)
    assert len(pairs) > 500
    found = search(tmp_path, texts)
    assert together(found, pairs) >= 0.99
    roots = reference.roots(len(texts), pairs)
    assert all(roots[document] == roots[keeper] for document, keeper in enumerate(found.keepers))
    assert 300 < (~found.staying()).sum() < 900


def test_the_result_is_the_same_to_the_byte_for_any_cut_memory_and_number_of_processes(tmp_path: Path) -> None:
    texts = planted(900, seed=2) + from_a_template(300, seed=3) + ["the same text", "The same text!"] * 20
    priorities = [number % 3 for number in range(len(texts))]
    expected = search(tmp_path / "whole", texts, priorities, cut=10_000)
    for name, ways in {
        "cut": {"cut": 97},
        "processes": {"cut": 400, "processes": 2},
        "memory": {"cut": 400, "memory": 60_000},
        "least": {"cut": 400, "memory": 20_000},
    }.items():
        found = search(tmp_path / name, texts, priorities, **ways)
        assert np.array_equal(found.keepers, expected.keepers), name
        assert np.array_equal(found.similarities, expected.similarities), name
    one = search(tmp_path / "one", texts, cut=400)
    assert not np.array_equal(one.keepers, expected.keepers)
    for path in (tmp_path / "processes").iterdir():
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()


def test_pairs_that_do_not_fit_into_the_memory_are_compared_in_turn(tmp_path: Path) -> None:
    texts, keys = planted(900, seed=10), {"rows": 2, "bands": 30, "max_bucket": 16}
    whole, parts = search(tmp_path / "whole", texts, **keys), search(tmp_path / "parts", texts, memory=4000, **keys)
    assert np.array_equal(whole.keepers, parts.keepers)


def test_documents_in_another_order_make_the_same_clusters(tmp_path: Path) -> None:
    texts = planted(900, seed=8)
    order = np.random.default_rng(0).permutation(len(texts))
    one, other = search(tmp_path / "a", texts), search(tmp_path / "b", [texts[place] for place in order])
    clusters = [
        {frozenset(numbers[keepers == keeper].tolist()) for keeper in np.unique(keepers)}
        for numbers, keepers in ((np.arange(len(texts)), one.keepers), (order, other.keepers))
    ]
    assert clusters[0] == clusters[1] and max(map(len, clusters[0])) > 2


def test_memory_grows_by_what_is_stated_and_the_files_are_as_large_as_stated(tmp_path: Path) -> None:
    texts = planted(1500, seed=9, words=(8, 12))
    chosen, memory = NearDuplicateSettings(), 1 << 20
    part = sketched(tmp_path / "part", texts, chosen)
    words = sum(len(reference.words(text)) for text in texts)
    for files in (1, 5, 25):
        found, peak = peak_memory(lambda files=files: near_duplicates([part] * files, chosen, memory=memory))
        assert found.stored == files * (32 + len(texts) * (12 + 4 * chosen.bands) + 4 * words)
        assert peak < DOCUMENT_MEMORY * len(texts) * files + memory


def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the pairs of every comparison from now on."""
    counts: list[int] = []
    whole = Comparer._compare

    def counted(self: Comparer, first: np.ndarray, *rest: Any) -> np.ndarray:
        counts.append(len(first))
        return whole(self, first, *rest)

    monkeypatch.setattr(Comparer, "_compare", counted)
    return counts


@pytest.mark.parametrize("slots", [0, 1, 4, 8])
def test_a_template_makes_work_in_proportion_to_its_documents(slots: int, tmp_path: Path, monkeypatch) -> None:
    texts = from_a_template(3000, seed=4, slots=max(slots, 1)) if slots else ["one text for all of them"] * 3000
    keys = {"max_bucket": 16, "leaders": 2, "bands": 10}
    counts = compared(monkeypatch)
    found = search(tmp_path, texts, **keys)
    assert sum(counts) <= 3000 * 10 * (16 / 2 + 2) + 2 * 3000
    if slots <= 1:  # all are nearly the same
        assert (found.keepers == 0).all()


def test_in_a_large_bucket_everyone_near_to_a_leader_is_found(tmp_path: Path) -> None:
    first, second = from_a_template(200, seed=5, slots=1), from_a_template(200, seed=6, slots=1)
    shared = " ".join(f"shared{number}" for number in range(150))
    texts = [f"{shared} {text}" for pair in zip(first, second, strict=True) for text in pair]
    assert reference.jaccard(texts[0], texts[1], 5) < 0.8 < reference.jaccard(texts[0], texts[2], 5)
    found = search(tmp_path, texts, max_bucket=2, leaders=2, bands=8, rows=1)
    assert found.keepers.tolist() == [0, 1] * 200


def test_planted_pairs_in_a_template_are_found_where_a_band_tells_them_apart(tmp_path: Path) -> None:
    texts = from_a_template(1500, seed=7, slots=5)
    copies = [text.replace(" ", " changed ", 1) for text in texts[:300]]
    found = search(tmp_path, texts + copies, max_bucket=16)
    pairs = [(place, 1500 + place) for place in range(300)]
    assert all(reference.jaccard(texts[one], copies[one], 5) >= 0.8 for one, _ in pairs)
    assert together(found, pairs) >= 0.99
