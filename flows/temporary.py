"""A temporary Prefect server (`flows.server`), tied to this process (`flows.child`).

Prefect's own temporary server outlives a flow that is killed. This module does not import Prefect, which takes a
second, so that the server starts meanwhile.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from flows.server import own_home
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError, TransientError

STARTUP = 120.0
"""Minimum startup timeout in seconds: with a new database the server takes 12 to 20 s."""


@dataclass(frozen=True)
class TemporaryServer:
    """A server that is starting or running."""

    port: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    """What it printed: of interest only if it does not start."""

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, patience: float) -> None:
        """Wait until the server answers.

        Raises GristmillError with its last line if it exits; TransientError if that may pass, or after `patience` s.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self._failure()
            if self._answers():
                return
            time.sleep(0.05)
        raise TransientError(f"Prefect's temporary server did not answer within {patience:g} s; try again")

    def _failure(self) -> GristmillError:
        code = self.process.returncode
        self.said.seek(0)
        lines = self.said.read().decode("utf-8", "replace").strip().splitlines()
        passing = code < 0 or code == EXIT_TRANSIENT
        return (TransientError if passing else GristmillError)(
            f"Prefect's temporary server ended with {code}: {lines[-1] if lines else 'it said nothing'}"
        )

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
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.child", str(os.getpid()), "flows.server", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={
                **os.environ,
                **own_home(),
                **settings,
                "PREFECT_UI_ENABLED": "0",
                "PREFECT__SERVER_EPHEMERAL": "1",
            },
        )
        try:
            yield TemporaryServer(port, process, said)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port(wanted: int = 0) -> int:
    """A free port on loopback: `wanted` if it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
