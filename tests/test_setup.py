"""`make setup`: an environment belongs to its folder, and its packages to their hashes."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.scratch import ROOT

INSTALL = """#!/bin/sh
test "$3" != anew || rm -rf "$2"
mkdir -p "$2/bin"
ln -sf "$(command -v "$1")" "$2/bin/python"
pwd -P >>"$2/bin/installed"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile and a stand-in for the minute of real installation: it notes the folders it ran in."""
    folder = tmp_path / "John's, first é $d"
    (folder / "infra").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "infra/installer.lock"):
        shutil.copy2(ROOT / name, folder / name)
    script = folder / "infra/install.sh"
    script.write_text(INSTALL)
    script.chmod(0o755)
    return folder


def set_up(folder: Path, *given: str) -> list[str]:
    subprocess.run(["make", "setup", *given], cwd=folder, check=True, capture_output=True)
    return (folder / ".venv/bin/installed").read_text().splitlines()


def test_an_environment_is_made_once_and_updated_in_place(project: Path) -> None:
    assert set_up(project) == set_up(project) == [str(project)]
    (project / "requirements.lock").touch()
    assert set_up(project) == [str(project)] * 2


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_or_copied_environment_is_made_anew(project: Path, move: object) -> None:
    set_up(project)
    other = project.with_name("second")
    move(project, other)  # type: ignore[operator]
    assert set_up(other) == [str(other)]


def stand_in(tmp_path: Path, name: str, says: str) -> Path:
    """A Python that says what the set-up asks it about."""
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


def test_an_environment_whose_python_is_gone_is_made_anew(project: Path) -> None:
    set_up(project)
    (project / ".venv/bin/python").unlink()
    (project / ".venv/bin/python").symlink_to("/nowhere/python")
    (project / ".venv/bin/old").touch()
    assert set_up(project) == [str(project)]
    assert not (project / ".venv/bin/old").exists()


def test_another_python_makes_another_environment(project: Path, tmp_path: Path) -> None:
    set_up(project)
    other = stand_in(tmp_path, "python3.99", "echo '(3, 99)'")
    assert set_up(project, f"PYTHON={sys.executable}") == [str(project)]
    (project / ".venv/bin/old").touch()
    assert set_up(project, f"PYTHON={other}") == [str(project)]
    assert not (project / ".venv/bin/old").exists()
    assert set_up(project) == [str(project)]  # without a wish, any Python will do


@pytest.mark.parametrize(
    ("name", "says", "told"),
    [
        (
            "python2",
            'test "$1" = -c && exit 1; echo Python 2.7.18',
            "Python 2.7.18 is too old: 3.11 or newer is needed",
        ),
        ("python3", 'test "$1" = -m && exit 1; echo "$0"', "cannot make a virtual environment (on Debian: apt install"),
        (None, "", "nowhere: not found; install Python 3.11 or newer, or name another with `make setup PYTHON="),
    ],
)
def test_a_python_that_does_not_do_is_told(tmp_path: Path, name: str | None, says: str, told: str) -> None:
    python = stand_in(tmp_path, name, says) if name else tmp_path / "nowhere"
    venv = tmp_path / ".venv"
    venv.mkdir()
    script = [ROOT / "infra/install.sh", python, venv, "anew"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
    assert venv.exists() == (name != "python3")  # what was there stays until a Python does


def test_an_update_that_is_interrupted_begins_anew(tmp_path: Path) -> None:
    python = stand_in(tmp_path, "python3", 'test "$1" = -c && echo "$0"')
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/.ready").touch()
    stand_in(tmp_path, ".venv/bin/python", "kill -9 $PPID")
    subprocess.run([ROOT / "infra/install.sh", python, tmp_path / ".venv", "install"], cwd=ROOT, capture_output=True)
    assert not (tmp_path / ".venv/.ready").exists()


def test_an_environment_that_another_project_lends_is_left_alone(project: Path) -> None:
    other = project.with_name("second")
    shutil.copytree(project, other)
    set_up(project)
    (other / ".venv").symlink_to(project / ".venv")
    assert set_up(other) == [str(other)]
    assert set_up(project) == [str(project)]


def test_programs_of_the_environment_find_its_python_without_activation(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    forced = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, name in forced["force-include"].items():
        shutil.copy(ROOT / source, packages / name)
    script = "import subprocess; subprocess.run('python -c \"import sys; print(sys.prefix)\"', shell=True)"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", script], env={"PATH": os.defpath}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{tmp_path}/venv\n", "")


def test_every_locked_package_but_torch_has_hashes() -> None:
    """The builds of torch for CPU and CUDA share a version."""
    for name in ("requirements.lock", "infra/installer.lock"):
        packages = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").rstrip())
        without = {package.partition("==")[0] for package in packages if "--hash=sha256:" not in package}
        assert without == ({"torch"} if name == "requirements.lock" else set())
