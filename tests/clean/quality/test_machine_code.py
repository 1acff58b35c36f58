"""Machine code is kept apart from the sources, is that of these very sources, and is never in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scratch import ROOT

KERNEL = """
from numba import njit

@njit
def twice(number):
    return 2 * number
"""

RUN = """
import json, sys
from pathlib import Path
from kernel import twice
from tasks.clean.quality.machine_code import folder, kept
result = kept(twice)(21)
assert kept(twice) is twice
print(json.dumps([result, sum(twice.stats.cache_hits.values()), str(folder())]))
"""


def started(package: Path, **environment: str) -> "subprocess.Popen[str]":
    """A process that runs a kernel of its own."""
    package.mkdir(exist_ok=True)
    (package / "kernel.py").write_text(KERNEL, encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        env={**own, "PYTHONPATH": f"{package}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: "subprocess.Popen[str]") -> list[object]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    found: list[object] = json.loads(output)
    return found


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_processes_that_compile_at_once_and_those_that_come_later_agree(variable: str, tmp_path: Path) -> None:
    home = {variable: str(tmp_path / "cache")}
    first = [started(tmp_path / "package", **home) for _ in range(3)]
    assert {result(process)[0] for process in first} == {42}
    number, hits, folder = result(started(tmp_path / "package", **home))
    assert (number, hits) == (42, 1)
    assert Path(str(folder)).is_relative_to(tmp_path / "cache")
    assert list(Path(str(folder)).rglob("*.nbc"))
    assert [path.name for path in (tmp_path / "package").iterdir()] == ["kernel.py"]


def test_where_nothing_can_be_written_every_process_compiles_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        process = started(tmp_path / "package", XDG_CACHE_HOME=str(tmp_path / "file" / "below"))
        assert result(process)[:2] == [42, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "package"]


def test_other_sources_have_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.clean.quality import machine_code

    names = [machine_code.folder().name]
    for source in ("a = 1\n", "a = 2\n"):
        (tmp_path / "room.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "room.py"))
        names.append(machine_code.folder.__wrapped__().name)
    assert len(set(names)) == 3
    assert names[-1] == machine_code.folder.__wrapped__().name


def test_settings_and_rules_load_neither_kernels_nor_arrays() -> None:
    script = (
        "import sys\nimport tasks.clean.quality.settings, tasks.clean.quality.judge\n"
        "print([name for name in ('numba', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
