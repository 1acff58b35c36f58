import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.register import empty_database, make_project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A project of a task after the stage evaluate; made once per task."""
    made: dict[str, Path] = {}

    def make(task: str) -> Path:
        if task not in made:
            made[task] = tmp_path_factory.mktemp("template")
            make_project(made[task], task=task)
            (made[task] / "mlflow.db").write_bytes(empty_database())
        return made[task]

    return make


@pytest.fixture
def project_of(
    template: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """A fresh copy of a task's template; the working directory."""

    def make(task: str) -> Path:
        root = tmp_path / "project"
        shutil.copytree(template(task), root)
        monkeypatch.chdir(root)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return root

    return make


@pytest.fixture
def project(project_of: Callable[[str], Path]) -> Path:
    return project_of("causal-lm")


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return {**kept, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", **more}
