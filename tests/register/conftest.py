import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tasks.tracking.client import RECIPE
from tests.register import empty_database, make_project
from tests.scratch import ROOT, environment

STARTUP = 240.0
"""Seconds until a server answers."""


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


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """`mlflow ARGUMENTS` on a free port until the block ends; yields its URL as soon as it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + STARTUP
        while not _answers(f"{url}/health"):
            assert time.monotonic() < deadline and server.poll() is None, f"no server:\n{log.read_text()}"
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server on loopback that stores artifacts; yields its URL."""
    folder = tmp_path_factory.mktemp("server")
    command = ("server", "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db")
    more = environment(ROOT, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with serving(folder, *command, "--artifacts-destination", str(folder / "kept"), **more) as url:
        yield url


@pytest.fixture
def on_server(project: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with its record on a server, which is cleaned up afterwards."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    yield project
    client = mlflow.MlflowClient(server)
    if client.search_registered_models("name = 'tiny'"):
        client.delete_registered_model("tiny")
    for experiment in client.search_experiments(filter_string=f"tags.`{RECIPE}` = 'tiny'"):
        client.rename_experiment(experiment.experiment_id, f"over-{time.time_ns()}")
        client.set_experiment_tag(experiment.experiment_id, RECIPE, "over")


def _answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True
