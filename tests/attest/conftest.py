"""A project with two trained, registered versions, and the second one attested: real DVC, git, MLflow and keys."""

import json
import os
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils

from tasks.attest.keys import PRIVATE, PUBLIC, make_keys
from tasks.attest.sign import attest
from tasks.register.registration import run as register
from tasks.stage.run import run
from tests.families import tiny_recipe, write_source
from tests.register import empty_database
from tests.scratch import command, make_project, run_stages

RECIPE = "tiny"


@dataclass(frozen=True)
class Mill:
    """A project, its keys and what was written out of it."""

    project: Path
    key: Path
    public: Path
    first: Path
    """Version 1 with its attestation, whose stages have run again since."""
    second: Path
    """Version 2."""


@pytest.fixture(scope="session")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Mill:
    """Do not modify."""
    root = tmp_path_factory.mktemp("attest")
    recipe = root / f"{RECIPE}.yaml"
    recipe.write_text(json.dumps(settings(steps=4)))
    project = make_project(root / "project", {RECIPE: recipe})
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("source: data/code/ingest.json", "source: texts"))
    write_source(project / "texts/all.jsonl")
    (project / "mlflow.db").write_bytes(empty_database())
    make_keys(root / "keys")
    found = Mill(project, root / "keys" / PRIVATE, root / "keys" / PUBLIC, root / "first", root / "second")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setenv("GRISTMILL_DEVICE", "cpu")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for number, out in enumerate((found.first, found.second), 1):
            (project / f"recipes/{RECIPE}.yaml").write_text(json.dumps(settings(steps=4 * number)))
            if number == 1:
                run_stages(RECIPE)
            else:
                run(import_module("tasks.train.__main__").STAGE, RECIPE)
                run(import_module("tasks.evaluate.__main__").STAGE, RECIPE)
            command(project, "dvc", "commit", "--force", "--quiet")
            commit(project)
            register(RECIPE)
            attest(f"{RECIPE}:{number}", found.key, out=out)
    return found


def settings(steps: int) -> dict:
    recipe = tiny_recipe("causal-lm", "texts/all.jsonl")
    recipe["ingest"]["licence"] = "CC0-1.0"
    recipe["train"]["steps"] = steps
    return recipe


def commit(project: Path) -> None:
    command(project, "git", "add", "-A")
    command(project, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a model")


@pytest.fixture
def project(mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project to modify; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(mill.project, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".dvc" / "site"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    utils._artifact_repos_cache.clear()  # by the ids of runs and models, which all copies share
    return folder


@pytest.fixture
def copy(mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of version 2 with its attestation, outside of any project; its folder is the working directory."""
    folder = tmp_path / "received"
    shutil.copytree(mill.second, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def change(path: Path, place: int = -1) -> None:
    """Flip one bit of a file, also of one that is write-protected or linked to DVC's cache."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.unlink()
    path.write_bytes(content)
    os.utime(path)
