"""The record inside the project moves with it, wherever it goes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.register.recorded import whole
from tasks.register.registration import run
from tasks.tracking.embedded import stored_files
from tests.register import the_model, the_run
from tests.scratch import ROOT, environment

ODD = "My Texts/50%41 #1? é日"
PROGRAM = """
from pathlib import Path
from tasks.register.predict import generate
from tasks.register.recorded import whole
from tasks.register.registration import run
print(run("tiny")["version"], generate("tiny", "ROMEO:", max_new_tokens=4).startswith("ROMEO:"), bool(whole("tiny")))
"""


def register(root: Path) -> list[str]:
    """Register and load the champion in a process of its own; its answers."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=environment(ROOT), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """All files below a folder, with size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in stored_files(root)}


@pytest.mark.slow
def test_a_path_with_any_letters_and_from_there_to_another(project: Path, tmp_path: Path) -> None:
    odd = tmp_path / ODD
    odd.parent.mkdir()
    project.rename(odd)
    assert register(odd) == ["1", "True", "True"]
    assert list(odd.glob("mlruns/*/models/*/artifacts/MLmodel"))
    assert list(odd.parent.iterdir()) == [odd] and sorted(tmp_path.iterdir()) == [odd.parent]
    other = odd.rename(tmp_path / "other")
    before = everything(other / "mlruns").keys()
    assert register(other) == ["1", "True", "True"]
    assert everything(other / "mlruns").keys() == before and not odd.exists()


def test_a_copy_reads_and_writes_its_own_files(project: Path, tmp_path: Path, monkeypatch) -> None:
    run("tiny")
    before = everything(project)
    bare = shutil.copytree(project, tmp_path / "bare", ignore=shutil.ignore_patterns("mlruns"))
    assert register(bare) == ["1", "True", "True"]
    copy = shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(copy)
    assert whole("tiny") is None
    assert run("tiny")["version"] == 1
    assert whole("tiny") is not None
    assert Path(the_model().artifact_location.removeprefix("file://")).is_relative_to(copy)
    assert Path(the_run().info.artifact_uri.removeprefix("file://")).is_relative_to(copy)
    assert everything(project) == before


def test_a_folder_that_a_user_chose_for_artifacts_stays(project: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient().create_experiment("tiny", artifact_location=(tmp_path / "disk" / "mlruns" / "1").as_uri())
    (tmp_path / "disk" / "mlruns" / "1").mkdir(parents=True)
    run("tiny")
    assert whole("tiny") is not None
    assert list(tmp_path.glob("disk/mlruns/1/models/*/artifacts/MLmodel")) and not Path("mlruns/1").exists()
