from pathlib import Path

import numpy as np
import pytest

from tasks.clean.rules.near.candidates import buckets_of_more, first_of_each, pairs_of_small_buckets, pieces
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tests.clean.rules.near.reference import sketched

CHOSEN = NearDuplicateSettings(bands=2, rows=1, ngram=1)


def entries_of(buckets: list[list[int]]) -> np.ndarray:
    numbers = [key << 32 | document for key, documents in enumerate(buckets) for document in documents]
    return np.array(numbers, np.uint64)


def pairs(buckets: list[list[int]], most: int, sizes: list[int], threshold: float, room: int) -> list[tuple[int, int]]:
    """All pairs, with a buffer that must be emptied in between."""
    entries, found, place = entries_of(buckets), [], 0
    while place < len(entries):
        kept = np.zeros(room, np.uint64)
        begin = place
        place, count, _ = pairs_of_small_buckets(entries, place, most, np.array(sizes, np.uint32), threshold, kept, 0)
        assert place > begin and count <= room
        found += [(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in kept[:count]]
    return found


@pytest.mark.parametrize("memory", [24 * 10, 24 * 100, 1 << 20])
def test_documents_come_in_the_order_of_their_keys_whatever_the_memory(memory: int, tmp_path: Path) -> None:
    texts = [f"word{number % 37}" for number in range(200)] + [""]
    paths = [sketched(tmp_path / f"{begin}", texts[begin : begin + 150], CHOSEN) for begin in (0, 150)]
    files = SketchFiles(paths, CHOSEN.bands)
    among = files.sizes > 0
    among[3] = False
    found = list(pieces(files, 1, among, memory))
    assert len(found) == max(1, -(-201 * 24 // memory))
    entries = np.concatenate(found)
    keys = np.concatenate([keys for _, keys in files.keys(1)])
    expected = sorted(int(keys[place]) << 32 | place for place in range(200) if place != 3)
    assert entries.tolist() == expected


def test_small_buckets_give_all_their_pairs_and_large_ones_none() -> None:
    buckets = [[4], [1, 2], [0, 3, 5], [6, 7, 8, 9], [2, 9]]
    expected = [(1, 2), (0, 3), (0, 5), (3, 5), (2, 9)]
    for room in (3, 4, 100):
        assert pairs(buckets, 3, [1] * 10, 0.8, room) == expected
    assert len(pairs(buckets, 4, [1] * 10, 0.8, 6)) == 5 + 6
    seen = [
        pairs_of_small_buckets(entries_of(buckets), 0, most, np.ones(10, np.uint32), 0.8, np.zeros(99, np.uint64), 0)
        for most in (3, 4)
    ]
    assert [larger for _, _, larger in seen] == [True, False]


def test_pairs_too_different_in_size_are_left_out() -> None:
    assert pairs([[0, 1, 2]], 9, [8, 10, 11], 0.8, 9) == [(0, 1), (1, 2)]


def test_members_of_large_buckets() -> None:
    documents, buckets = buckets_of_more(entries_of([[4], [1, 2], [0, 3, 5], [6], [2, 7, 8, 9]]), 2)
    assert documents.tolist() == [0, 3, 5, 2, 7, 8, 9]
    assert first_of_each(buckets).tolist() == [True, False, False, True, False, False, False]
    assert not len(buckets_of_more(np.empty(0, np.uint64), 1)[0])
