"""Prefect's API for a run: the configured server, or else a temporary one over the same database, as Prefect's own.

Prefect's own temporary server stays behind when its flow is killed outright; ours is tied to the flow (`flows.child`).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)

from tasks.stage.errors import GristmillError, TransientError

STARTUP = 120
"""Seconds that the temporary server may take where nothing else is set: it takes 12 to 20 s on two processors."""


@contextmanager
def reachable_api() -> Iterator[None]:
    """Run flows in this block against the configured server, or a temporary one.

    Raises TransientError for one that is away, GristmillError for one that refuses, or an address that is none.
    """
    if configured := PREFECT_API_URL.value():
        _require(configured)
        yield
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flows.child", str(os.getpid()), "uvicorn", "--factory"),
            *("prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)),
            *("--log-level", "error", "--lifespan", "on"),
        ],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env={
            **os.environ,
            **get_current_settings().to_environment_variables(exclude_unset=True),
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        },
    )
    try:
        _await(url, process)
        with temporary_settings({PREFECT_API_URL: url, PREFECT_UI_URL: ""}):  # it has no pages, so no links to them
            yield
            EventsWorker.drain_all()  # the states of tasks travel as events
            APILogHandler().flush()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _require(url: str) -> None:
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
        with get_client(sync_client=True) as client:  # the health of a server needs no password
            client.hello()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise GristmillError(f"PREFECT_API_URL: {url} is no address of a server: {error}") from error
    except httpx.HTTPStatusError as error:
        raise GristmillError(f"PREFECT_API_URL: {url} answers {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise TransientError(f"PREFECT_API_URL: no Prefect server answers at {url}: {error}") from error


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    patience = max(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), STARTUP)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TransientError(f"Prefect's temporary server ended with code {process.returncode}; see above")
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise TransientError(f"Prefect's temporary server did not answer within {patience:g} s; try again")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
