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
mkdir -p "$2/bin"
pwd -P >>"$2/bin/installed"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile and a stand-in for the minute of real installation: it notes the folders it ran in."""
    folder = tmp_path / "first place"
    (folder / "infra").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "infra/installer.lock"):
        shutil.copy2(ROOT / name, folder / name)
    script = folder / "infra/install.sh"
    script.write_text(INSTALL)
    script.chmod(0o755)
    return folder


def set_up(folder: Path) -> list[str]:
    subprocess.run(["make", "setup"], cwd=folder, check=True, capture_output=True)
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
