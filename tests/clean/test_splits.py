from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.settings import SplitSettings
from tasks.clean.splits import split_of


def test_shares_are_met_over_many_groups() -> None:
    written = [split_of(f"group {n}", SplitSettings(validation=0.05, test=0.1)) for n in range(20_000)]
    assert abs(written.count("test") / 20_000 - 0.1) < 0.01
    assert abs(written.count("validation") / 20_000 - 0.05) < 0.006


def test_the_split_of_a_group_is_fixed_for_all_time() -> None:
    written = SplitSettings(validation=0.3, test=0.3)
    found = [split_of(name, written) for name in ("hamlet", "macbeth", "othello", "king-lear", "é")]
    assert found == ["train", "validation", "train", "validation", "train"]


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 99), st.floats(0, 0.4), st.floats(0, 0.4))
def test_another_size_of_validation_leaves_the_test_groups(group: str, seed: int, one: float, two: float) -> None:
    first = split_of(group, SplitSettings(validation=one, test=0.2, seed=seed))
    second = split_of(group, SplitSettings(validation=two, test=0.2, seed=seed))
    assert (first == "test") == (second == "test")


def test_named_groups_go_where_they_are_named() -> None:
    written = SplitSettings(validation=0, test=0, validation_groups=("a",), test_groups=("b",))
    assert [split_of(name, written) for name in "abc"] == ["validation", "test", "train"]
