"""What Prefect and DVC cost: the flow against the same stages run bare, and a second run against DVC alone."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.scratch import STAGES, command, environment, make_project

WORK = (*STAGES, "register")


def measure(folder: Path) -> Iterator[str]:
    """Ratios on the tiny recipe of the tests, whose stages are all start-up: the flow's worst case."""
    bare, flowed, served = (make_project(folder / name) for name in ("bare", "flowed", "served"))
    command(bare, sys.executable, "-m", "tasks.code")
    stages = sum(seconds(bare, sys.executable, "-m", f"tasks.{stage}", "tiny") for stage in WORK)
    run = (sys.executable, "-m", "flows", "run", "tiny")
    with prefect_server(served) as url:
        on_server = seconds(served, *run, PREFECT_API_URL=url)
        again_on_server = seconds(served, *run, PREFECT_API_URL=url)
    alone = seconds(flowed, *run)
    again = min(seconds(flowed, *run) for _ in range(3))
    dvc = min(seconds(flowed, "dvc", "repro") for _ in range(3))
    yield f"all stages bare                        {stages:7.1f} s    1.00"
    yield f"the flow, on a running Prefect server  {on_server:7.1f} s  {on_server / stages:6.2f} of bare"
    yield f"the flow, with a temporary server      {alone:7.1f} s  {alone / stages:6.2f} of bare"
    yield f"dvc repro, nothing to do               {dvc:7.1f} s    1.00"
    yield f"gristmill run again                    {again:7.1f} s  {again / dvc:6.2f} of dvc repro"
    yield f"the same, as a flow on a server        {again_on_server:7.1f} s  {again_on_server / dvc:6.2f} of dvc repro"


def seconds(folder: Path, *arguments: str, **more: str) -> float:
    """How long a command takes in a project."""
    began = time.perf_counter()
    command(folder, *arguments, **more)
    return time.perf_counter() - began


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A Prefect server of its own on loopback; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/api"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/health", timeout=5).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        else:
            raise TimeoutError("the Prefect server did not start")
        yield url
    finally:
        server.terminate()
        server.wait(30)
