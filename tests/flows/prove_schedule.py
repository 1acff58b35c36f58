"""`python -m pytest tests/flows/prove_schedule.py`: a real server and worker, schedules that fire, runs that complete.

Not part of the test suite but of `make prove-schedule`: the server alone takes most of a minute to start.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from flows.temporary import free_port
from tests.flows.conftest import ROOT, make_toy

PATIENCE = 240


@contextmanager
def _program(log: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(what: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.mark.timeout(900)
def test_deployments_run_when_their_schedules_fire(tmp_path, monkeypatch):
    project = make_toy(tmp_path / "toy")
    shutil.copytree(ROOT / "flows", project / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    yaml = (ROOT / "prefect.yaml").read_text().replace("shakespeare", "toy")
    assert "cron: 0 2 * * *" in yaml
    (project / "prefect.yaml").write_text(yaml.replace("cron: 0 2 * * *", "cron: '*/1 * * * *'"))
    monkeypatch.chdir(project)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PWD": str(project),  # as in a shell
    }
    server_log, worker_log = tmp_path / "server.log", tmp_path / "worker.log"
    server = ("flows.server", "--port", str(port))
    worker = ("prefect", "worker", "start", "--pool", "gristmill", "--type", "process")
    with _program(server_log, environment, *server):
        _wait_for(lambda: _answers(url), server_log)
        subprocess.run(
            [sys.executable, "-c", "from flows.schedule import schedule; print(schedule('child', '*/2 * * * *'))"],
            env=environment,
            check=True,
        )
        subprocess.run([sys.executable, "-m", "prefect", "deploy", "--all"], env=environment, check=True)
        with _program(worker_log, environment, *worker):
            for recipe in ("toy", "child"):
                _wait_for(lambda recipe=recipe: _completed(url, recipe), worker_log)
    assert Path("data/child/second/text.txt").read_text() == "one two"
    left = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(project)]
    assert [process.pid for process in left] == [os.getpid()]


def _completed(url: str, recipe: str) -> bool:
    wanted = {
        "deployments": {"name": {"any_": [recipe]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    token = httpx.get(f"{url}/csrf-token?client=test", timeout=30).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
    runs = httpx.post(f"{url}/flow_runs/filter", json=wanted, headers=headers, timeout=30).json()
    return any(run["auto_scheduled"] for run in runs)
