"""The temporary Prefect server: it starts, sends Retry-After if the database is busy, and stops."""

import asyncio
import http.client
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.temporary import create_app, temporary_server
from tasks.stage.errors import TransientError


@pytest.mark.parametrize(("status", "named"), [(503, [b"0.2"]), (200, []), (404, [])])
def test_only_a_busy_database_names_a_time(monkeypatch: pytest.MonkeyPatch, status: int, named: list[bytes]) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"told"})

    monkeypatch.setattr("prefect.server.api.server.create_app", lambda: inner)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(create_app()({"type": "http"}, None, send))
    headers = sent[0]["headers"]
    assert (b"a", b"b") in headers
    assert [value for name, value in headers if name == b"retry-after"] == named
    assert sent[1] == {"type": "http.response.body", "body": b"told"}


def test_it_answers_and_is_gone_with_its_block(tmp_path: Path) -> None:
    with temporary_server(PREFECT_HOME=str(tmp_path)) as server:
        server.wait(120)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/api/health")
        assert connection.getresponse().read() == b"true"
        connection.close()
        assert os.getpgid(server.process.pid) == server.process.pid
    assert not psutil.pid_exists(server.process.pid)


def test_one_that_cannot_start_is_told(tmp_path: Path) -> None:
    with (
        temporary_server(PREFECT_HOME="/dev/null/none") as server,
        pytest.raises(TransientError, match="exited with code"),
    ):
        server.wait(120)
