"""A temporary Prefect server over Prefect's own database, tied to this process (`flows.child`).

Prefect's own temporary server stays behind when its flow is killed outright. This module does not import Prefect,
which takes a second, so that the server can start meanwhile.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.stage.errors import TransientError

STARTUP = 120.0
"""Seconds that the server may take where nothing else is set: with a new database it takes 12 to 20 s."""

RETRY_AFTER = b"0.2"
"""Seconds after which a client asks again where the database was busy; by itself it would wait for 2 s or more."""


@dataclass(frozen=True)
class TemporaryServer:
    """A server that is starting, or has started."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, patience: float) -> None:
        """Return as soon as it answers. Raises TransientError where it ends, or does not answer in time."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise TransientError(f"Prefect's temporary server ended with code {self.process.returncode}; see above")
            if self._answers():
                return
            time.sleep(0.05)
        raise TransientError(f"Prefect's temporary server did not answer within {patience:g} s; try again")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def temporary_server(**settings: str) -> Iterator[TemporaryServer]:
    """Start a server with these settings beside those of the environment; it is gone when the block is left."""
    port = _free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flows.child", str(os.getpid()), "uvicorn", "--factory"),
            *("flows.temporary:create_app", "--host", "127.0.0.1", "--port", str(port)),
            *("--log-level", "error", "--lifespan", "on"),
        ],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env={
            **os.environ,
            **settings,
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        },
    )
    try:
        yield TemporaryServer(port, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def create_app() -> Any:
    """Prefect's API as an ASGI application; uvicorn makes it in the process of the server.

    SQLite refuses to write from a transaction that has read what somebody changed since. Prefect answers 503 then, some
    times in each run, and its client waits for the time that the answer names.
    """
    from prefect.server.api.server import create_app as create

    inner = create()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def name_time(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                message = {**message, "headers": [*message.get("headers", ()), (b"retry-after", RETRY_AFTER)]}
            await send(message)

        await inner(scope, receive, name_time)

    return application


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
