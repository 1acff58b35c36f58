import os
from pathlib import Path

import pytest

from tasks.stage.code import hash_stage, import_closure, read_code, without_remarks
from tasks.stage.errors import DataError

SOURCE = '''"""A room."""

import os  # for the separator

LIMIT = 3
"""Most of them."""


def work(text: str) -> str:
    """Do it."""
    # why it is done
    return f"""{text} # no comment

    {os.sep}""" * LIMIT
'''
FILES = {
    "tasks/__init__.py": "",
    "tasks/a/__init__.py": "",
    "tasks/a/__main__.py": "def f():\n    from tasks.b import g\n",
    "tasks/a/words.txt": "one\n",
    "tasks/b/__init__.py": "import json\n",
    "tasks/b/g.py": "from tasks import c\n",
    "tasks/c.py": SOURCE,
    "tasks/unused.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def edit(tree: Path, name: str, old: str, new: str) -> str:
    path = tree / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    # A file may change within one tick of the clock.
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    return hash_stage("a", tree)


def test_only_what_a_stage_does_makes_its_hash(tree: Path) -> None:
    before = hash_stage("a", tree)
    assert edit(tree, "tasks/c.py", "# why it is done", "# why it is really done\n    #") == before
    assert edit(tree, "tasks/c.py", '"""A room."""\n', '"""A room.\n\nWith a view."""\n\n\n') == before
    assert edit(tree, "tasks/c.py", '"""Most of them."""', '"""At most."""  # of these') == before
    assert edit(tree, "tasks/c.py", '    """Do it."""\n', "") == before
    assert edit(tree, "tasks/unused.py", "", "x = 1") == before
    assert edit(tree, "tasks/c.py", "LIMIT = 3", "LIMIT = 4") != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/c.py", "# no comment", "# a comment"),
        ("tasks/c.py", "no comment\n\n", "no comment\n"),
        ("tasks/c.py", "no comment\n\n", "no comment  \n\n"),
        ("tasks/b/g.py", "from tasks import c", "from tasks import c, unused"),
        ("tasks/a/words.txt", "one", "two"),
    ],
)
def test_whatever_a_stage_reads_or_imports_counts(tree: Path, name: str, old: str, new: str) -> None:
    before = hash_stage("a", tree)
    assert edit(tree, name, old, new) != before


def test_a_new_file_in_the_room_counts(tree: Path) -> None:
    before = hash_stage("a", tree)
    (tree / "tasks/a/more.txt").write_text("three")
    assert hash_stage("a", tree) != before


def test_an_import_closure_follows_lazy_imports_and_packages(tree: Path) -> None:
    found = {path.as_posix() for path in import_closure("tasks.a.__main__", tree)}
    assert found == FILES.keys() - {"tasks/unused.py", "tasks/a/words.txt"}


def test_lines_keep_their_numbers() -> None:
    assert [number for number, _ in without_remarks(SOURCE)] == [3, 5, 9, 12, 13, 14]


def test_without_the_stage_code_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^data/code/train\.json: missing or damaged; run: dvc repro code$"):
        read_code("train")
