"""A temporary Prefect server over Prefect's default database, tied to this process (`flows.child`).

Prefect's own temporary server outlives a flow that is killed. This module does not import Prefect, which takes a
second, so that the server starts meanwhile.
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
"""Minimum startup timeout in seconds: with a new database the server takes 12 to 20 s."""

RETRY_AFTER = b"0.2"
"""Seconds until a client retries after a busy database; by default it waits for 2 s or more."""


@dataclass(frozen=True)
class TemporaryServer:
    """A server that is starting or running."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, patience: float) -> None:
        """Wait until the server answers. Raises TransientError if it exits, or after `patience` seconds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise TransientError(
                    f"Prefect's temporary server exited with code {self.process.returncode}; see above"
                )
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
    """A server for the length of a block, with these environment variables added to ours."""
    port = free_port()
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
    """Prefect's API as an ASGI application, created by uvicorn in the server's process.

    SQLite refuses a write in a transaction that has read since-changed rows. Prefect then answers 503, several times in
    a run; the client waits as long as Retry-After says.
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


def free_port(wanted: int = 0) -> int:
    """A free port on loopback: `wanted` if it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
