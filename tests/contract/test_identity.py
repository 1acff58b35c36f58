from pathlib import Path

import pytest

from tasks.contract.identity import fingerprint, hash_code, hash_tree
from tasks.contract.imports import import_closure


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


def test_an_import_closure_follows_lazy_imports_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "tasks/__init__.py": "",
        "tasks/a.py": "def f():\n    from tasks.b import g\n",
        "tasks/b/__init__.py": "import json\n",
        "tasks/b/g.py": "from tasks import c\n",
        "tasks/c.py": "",
        "tasks/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {path.as_posix() for path in import_closure("tasks.a", tmp_path)}
    assert found == files.keys() - {"tasks/unused.py"}
    monkeypatch.setattr("tasks.contract.identity.CODE", tmp_path)
    before = hash_code(["tasks.b.g"])
    (tmp_path / "tasks/unused.py").write_text("x = 1")
    assert hash_code(["tasks.b.g"]) == before
    (tmp_path / "tasks/c.py").write_text("x = 1")
    assert hash_code(["tasks.b.g"]) != before
