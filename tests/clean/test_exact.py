import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.exact import exact_duplicates


def plain(texts: list[int], priorities: list[int], stays: list[bool]) -> list[tuple[int, int]]:
    """The same with a dictionary."""
    keepers: dict[int, int] = {}
    order = sorted((n for n, here in enumerate(stays) if here), key=lambda n: (priorities[n], n))
    for n in order:
        keepers.setdefault(texts[n], n)
    return [(n, keepers[texts[n]]) for n in sorted(order) if keepers[texts[n]] != n]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=40))
def test_of_the_same_text_the_one_with_the_most_right_stays(documents: list[tuple[int, int, bool]]) -> None:
    texts, priorities, stays = ([row[k] for row in documents] for k in range(3))
    digests = np.array([(text // 2, text % 2) for text in texts], np.uint64).reshape(-1, 2)
    gone, keepers = exact_duplicates(digests, np.array(priorities, np.uint8), np.array(stays, np.bool_))
    assert list(zip(gone.tolist(), keepers.tolist(), strict=True)) == plain(texts, priorities, stays)
