"""The Prefect server: it starts and stops, sends Retry-After if the database is busy, and no other page commands it."""

import asyncio
import http.client
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.server import RETRY_AFTER, create_app
from flows.temporary import TemporaryServer, temporary_server
from tasks.stage.errors import GristmillError


@pytest.mark.parametrize(("status", "named"), [(503, [RETRY_AFTER]), (200, []), (404, [])])
def test_only_a_busy_database_names_a_time(monkeypatch: pytest.MonkeyPatch, status: int, named: list[bytes]) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"told"})

    monkeypatch.setattr("prefect.server.api.server.create_app", lambda: inner)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"host", b"here:1")]}
    asyncio.run(create_app(["here"], print)(scope, None, send))
    headers = sent[0]["headers"]
    assert (b"a", b"b") in headers
    assert [value for name, value in headers if name == b"retry-after"] == named
    assert sent[1] == {"type": "http.response.body", "body": b"told"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporaryServer]:
    """A server in a project, with the home that the project gives it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_HOME", raising=False)
        patch.chdir(tmp_path_factory.mktemp("project"))
        with temporary_server() as started:
            started.wait(120)
            yield started
            assert os.getpgid(started.process.pid) == started.process.pid
            assert Path(".prefect/prefect.db").is_file()
    assert not psutil.pid_exists(started.process.pid)


def ask(server: TemporaryServer, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    connection.request(method, path, body="{}" if method == "POST" else None, headers=given)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_it_keeps_its_runs_in_the_project_and_is_gone_with_its_block(server: TemporaryServer) -> None:
    assert ask(server, "GET", "/api/health").status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", ""])
def test_a_page_that_gives_its_name_our_address_is_refused(server: TemporaryServer, host: str) -> None:
    assert ask(server, "GET", "/api/csrf-token?client=a", Host=host.format(port=server.port)).status == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://localhost", "http://["]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_page_is_refused(server: TemporaryServer, origin: str, method: str) -> None:
    answer = ask(server, method, "/api/flows/filter", Origin=origin, Access_Control_Request_Method="POST")
    assert (answer.status, answer.getheader("access-control-allow-origin")) == (403, None)


def test_its_own_page_is_answered_and_a_change_needs_a_token(server: TemporaryServer) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        own = f"http://{name}:{server.port}"
        assert ask(server, "GET", "/api/csrf-token?client=a", Origin=own, Host=own[7:]).status == 200
    assert ask(server, "GET", "/api/health", Origin=own).getheader("access-control-allow-origin") == own
    assert ask(server, "POST", "/api/flows/filter").status == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_another_page_opens_no_websocket(server: TemporaryServer, headers: dict[str, str]) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "prefect"}
    assert ask(server, "GET", "/api/events/in", **upgrade, **headers).status == 403


def newer(home: Path) -> None:
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        database.executescript("create table alembic_version(version_num); insert into alembic_version values ('f00');")


def damaged(home: Path) -> None:
    (home / "prefect.db").write_bytes(b"no database " * 1000)


def folder(home: Path) -> None:
    (home / "prefect.db").mkdir()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (newer, "prefect.db: was written by a newer Prefect"),
        (damaged, "prefect.db: is damaged"),
        (folder, "prefect.db: cannot be written"),
        (None, "prefect.db: cannot be written"),
    ],
)
def test_one_that_cannot_start_is_told_in_a_sentence(
    tmp_path: Path, harm: Callable[[Path], None] | None, sentence: str
) -> None:
    home = tmp_path if harm else Path("/dev/null/home")
    if harm:
        harm(home)
    with temporary_server(PREFECT_HOME=str(home)) as server, pytest.raises(GristmillError, match=sentence) as told:
        server.wait(120)
    assert (told.value.exit_code, "\n" in str(told.value)) == (2, False)
