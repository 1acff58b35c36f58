"""A web server on loopback: the fixture `server`."""

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BODY = "".join(f"line {i} of a text that takes its time\n" for i in range(50_000)).encode()


class Server(ThreadingHTTPServer):
    """Serves `body`; the first `breaks` responses are cut off after `sends` bytes."""

    body, status, ranges, breaks, sends = BODY, 200, True, 0, 700_000
    location: str | None = None
    length: str | None = None
    asked: list[str | None]
    daemon_threads = True

    def url(self, name: str = "text.txt") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.location is not None:
            self.send_response(302)
            self.send_header("Location", server.location)
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if start >= len(server.body) and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.length != "":
            self.send_header("Content-Length", server.length or str(len(server.body) - start))
        self.end_headers()
        end = start + server.sends if server.breaks else None
        server.breaks = max(server.breaks - 1, 0)
        with suppress(ConnectionError):
            self.wfile.write(server.body[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server
        server.shutdown()
