"""`make ui`, or `python -m flows.cli.ui`: serve the MLflow and Prefect pages on loopback until Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from types import FrameType
from typing import Any

from flows.temporary import free_port
from tasks.stage.runtime import keep_loopback_direct, switch_off_telemetry
from tasks.tracking.client import EMBEDDED, RECIPE, experiment_page
from tasks.tracking.embedded import bring_home

PATIENCE = 120.0
"""Startup timeout in seconds."""


def main() -> None:
    """Start both servers, print their URLs, and stop them with this process."""
    switch_off_telemetry()
    keep_loopback_direct()
    bring_home()
    signal.signal(signal.SIGTERM, _interrupt)
    pages = {"MLflow": free_port(int(EMBEDDED.rpartition(":")[2])), "Prefect": free_port(4200)}
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(pages["MLflow"]), "--workers", "1"]
    mlflow += ["--uvicorn-opts", "--log-level error"]
    prefect = ["flows.server", "--port", str(pages["Prefect"])]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 275 MB and 13 s; only MLflow's agent features need it
        "PYTHONWARNINGS": "ignore",
        "PREFECT_API_URL": f"http://127.0.0.1:{pages['Prefect']}/api",
    }
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in (("MLflow", mlflow), ("Prefect", prefect)):
            servers[name] = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
            )
        for name, port in pages.items():
            _wait_for(name, port, servers[name])
            print(f"{name:8} http://127.0.0.1:{port}", flush=True)
        experiments = experiment_pages(f"http://127.0.0.1:{pages['MLflow']}")
        width = max(map(len, ("models", *experiments)))
        links = {**experiments, "models": f"http://127.0.0.1:{pages['MLflow']}/#/models"}
        print("\n".join(f"  {name:{width}}  {page}" for name, page in links.items()), flush=True)
        if sys.stdout.isatty() and any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
            webbrowser.open(next(iter(links.values())))
        print(f"to show new runs there: export PREFECT_API_URL={environment['PREFECT_API_URL']}\nCtrl-C stops both")
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
        name = next(name for name, server in servers.items() if server.poll() is not None)
        sys.exit(f"{name}'s server exited with code {servers[name].returncode}; see above")
    except KeyboardInterrupt:
        print()
    finally:
        for server in servers.values():
            _end(server)


def experiment_pages(server: str) -> dict[str, str]:
    """Recipe → the page with its runs, the latest first."""
    asked = urllib.request.Request(
        f"{server}/api/2.0/mlflow/experiments/search",
        json.dumps({"max_results": 1000, "order_by": ["last_update_time DESC"]}).encode(),
        {"Content-Type": "application/json"},
    )
    loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with loopback.open(asked, timeout=PATIENCE) as answer:
        found = json.load(answer)["experiments"]
    return {
        _recipe_of(item): experiment_page(server, item["experiment_id"]) for item in found if item["name"] != "Default"
    }


def _recipe_of(experiment: dict[str, Any]) -> str:
    """The recipe in its tag: somebody may have renamed it."""
    tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", ())}
    return str(tags.get(RECIPE, experiment["name"]))


def _wait_for(name: str, port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    sys.exit(f"{name}'s server did not answer on port {port} within {PATIENCE:g} s; see above")


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, number)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                continue


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
