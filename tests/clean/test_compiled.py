"""Where compiled functions are kept: used again by the next process, never for other sources, never needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scratch import ROOT

ONE = """
from tasks.clean.compiled import kernel
from tasks.clean.two import double

@kernel
def one(number):
    return double(number) + 1
"""
TWO = """
from tasks.clean.compiled import helper

@helper
def double(number):
    return number * {factor}
"""
CALL = "from tasks.clean.one import one; print(one(20), sum(one.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A project of a kernel, and a helper in another file."""
    for name in ("clean/compiled.py", "stage/code.py", "stage/errors.py", "stage/identity.py", "stage/redact.py"):
        path = tmp_path / "project" / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tasks" / name, path)
    clean = tmp_path / "project" / "tasks" / "clean"
    for folder in (clean.parent, clean, clean.parent / "stage"):
        (folder / "__init__.py").touch()
    (clean / "one.py").write_text(ONE)
    (clean / "two.py").write_text(TWO.format(factor=2))
    return clean


def start(package: Path) -> "subprocess.Popen[str]":
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(package.parents[2] / "user"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", CALL]
    return subprocess.Popen(command, cwd=package.parents[1], env=environment, stdout=subprocess.PIPE, text=True)


def run(package: Path) -> tuple[int, int]:
    """What the kernel gives, and how often its compiled form was found."""
    output, _ = start(package).communicate()
    number, hits = output.split()
    return int(number), int(hits)


def folders(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("kernels-*") if any(path.iterdir()))


def test_the_next_process_finds_it_until_a_file_that_it_needs_changes(package: Path) -> None:
    assert run(package) == (41, 0)
    assert run(package) == (41, 1)
    (package / "two.py").write_text(TWO.format(factor=3))
    assert run(package) == (61, 0)
    (package / "two.py").write_text(TWO.format(factor=2))
    assert run(package) == (41, 1)
    assert len(folders(package / "__pycache__")) == 2


def test_of_processes_that_need_it_at_once_one_compiles(package: Path) -> None:
    all_three = [start(package) for _ in range(3)]
    assert sorted(process.communicate()[0] for process in all_three) == ["41 0\n", "41 1\n", "41 1\n"]
    assert run(package) == (41, 1)


def test_in_a_read_only_package_it_is_kept_in_the_users_cache(package: Path) -> None:
    (package / "__pycache__").write_text("no folder can be made here, by whichever user")
    assert run(package) == (41, 0)
    assert folders(package.parents[2] / "user")
    assert run(package) == (41, 1)


def test_where_nothing_can_be_written_every_process_compiles(package: Path) -> None:
    (package / "__pycache__").write_text("no folder")
    (package.parents[2] / "user").write_text("no folder either")
    assert run(package) == (41, 0)
    assert run(package) == (41, 0)
