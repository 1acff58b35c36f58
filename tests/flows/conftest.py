"""A toy project on the real shared packages of tasks, with real DVC and a real Prefect API."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flows.graph
from flows.summary import Summary

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"


@pytest.fixture(scope="session", autouse=True)
def modules_of_the_project() -> Iterator[None]:
    """Programs that a flow starts in the toy project import `flows` from here and `tasks` from the toy project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.delenv("GRISTMILL_RETRIES", raising=False)
        yield


def make_toy(folder: Path) -> Path:
    quiet = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOY, folder, ignore=quiet)
    for room in ("stage", "fetch", "formats", "tracking"):
        shutil.copytree(ROOT / "tasks" / room, folder / "tasks" / room, ignore=quiet)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    (folder / "behave").mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh toy project; the working directory."""
    folder = make_toy(tmp_path / "toy")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def first_run(tmp_path_factory, prefect_api) -> tuple[Path, Summary]:
    """A toy project after one run of its flow; do not modify."""
    folder = make_toy(tmp_path_factory.mktemp("first") / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, _run("toy", patch)


@pytest.fixture
def ran_toy(first_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy project after one run; the working directory."""
    folder = tmp_path / "toy"
    shutil.copytree(first_run[0], folder)
    Path(folder, "attempts.txt").unlink()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_flow(prefect_api, monkeypatch) -> Callable[[str], Summary]:
    """Run the flow in this process."""
    return lambda recipe: _run(recipe, monkeypatch)


def _run(recipe: str, patch: pytest.MonkeyPatch) -> Summary:
    import flows.pipeline

    patch.setattr("flows.stage.BACKOFF", 0.1)
    patch.setattr("flows.pipeline.check", lambda recipe: None)  # the toy's settings are its own
    return flows.pipeline.run(recipe)


def attempts() -> list[str]:
    """The stages that ran, one per attempt, in order."""
    path = Path("attempts.txt")
    return path.read_text().split() if path.exists() else []


def edit(old: str = "two", new: str = "three") -> None:
    """Change the recipe, so that the second stage is stale."""
    recipe = Path("recipes/toy.yaml")
    recipe.write_text(recipe.read_text().replace(old, new))


def dvc(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    return done.stdout


def changed(recipe: str) -> list[str]:
    return list(flows.graph.changes([node.address for node in flows.graph.read_graph(recipe)]))


def events_in(api: str, event: str, resource: str) -> list[dict[str, Any]]:
    """The events of a kind about a resource that a Prefect API has, once there are any."""
    from prefect.client.orchestration import SyncPrefectClient

    asked = {"filter": {"event": {"name": [event]}, "resource": {"id": [resource]}}, "limit": 50}
    deadline = time.monotonic() + 60
    with SyncPrefectClient(api) as client:
        while not (found := client.request("POST", "/events/filter", json=asked).json()["events"]):
            assert time.monotonic() < deadline, f"no {event} of {resource}"
            time.sleep(0.2)
    return list(found)
