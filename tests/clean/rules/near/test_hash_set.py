import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.rules.near.hash_set import HashSet

values = st.lists(st.one_of(st.integers(1, 30), st.integers(1, 2**64 - 1)), max_size=60)


@settings(max_examples=200)
@given(st.lists(values, max_size=5), values)
def test_it_is_a_set(lists: list[list[int]], asked: list[int]) -> None:
    ours, plain = HashSet(), set[int]()
    for added in lists:
        expected = []
        for value in added:
            expected.append(value not in plain)
            plain.add(value)
        assert ours.add(np.array(added, np.uint64)).tolist() == expected
        assert len(ours) == len(plain)
    assert ours.contains(np.array(asked, np.uint64)).tolist() == [value in plain for value in asked]
    assert ours.hashes().tolist() == sorted(plain)


def test_it_grows_and_can_be_kept_and_made_again() -> None:
    hashes = np.random.default_rng(0).integers(1, 2**64, 200_000, dtype=np.uint64)
    ours = HashSet()
    ours.add(np.concatenate((hashes, hashes)))
    assert len(ours) == len(np.unique(hashes))
    roomy = HashSet(room=len(ours))
    places = len(roomy.table())
    roomy.add(hashes)
    assert len(roomy.table()) == places < 8 / 3 * len(ours)
    for again in (HashSet.of_table(ours.table(), len(ours)), pickle.loads(pickle.dumps(ours)), roomy):
        assert again.contains(hashes).all() and len(again) == len(ours)
        assert not again.contains(hashes ^ np.uint64(1)).any()
