from pathlib import Path

import pytest

from tasks.stage.identity import fingerprint, hash_tree


def test_the_order_of_keys_does_not_matter_but_values_do() -> None:
    assert fingerprint({"a": 1, "b": [2.5, None]}) == fingerprint({"b": [2.5, None], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    assert fingerprint({"a": True}) != fingerprint({"a": 1})


@pytest.mark.parametrize("value", [{1, 2}, Path("x"), b"x", {"a": object()}])
def test_what_has_no_stable_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no stable hash"):
        fingerprint(value)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint({"a": float("nan")})


def test_a_tree_changes_with_any_byte_or_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("1")
    first = hash_tree(tmp_path)
    (tmp_path / "a/x").write_text("2")
    second = hash_tree(tmp_path)
    (tmp_path / "a/x").rename(tmp_path / "a/y")
    assert len({first, second, hash_tree(tmp_path)}) == 3
