"""A download from a real server on loopback: complete, interrupted, resumed, refused."""

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.fetch.downloads import alone, cache_folder
from tasks.stage.errors import GristmillError, RecipeError, TransientError

BODY = "".join(f"line {i} of a text that takes its time\n" for i in range(50_000)).encode()
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `body`; the first `breaks` responses are cut off after `sends` bytes."""

    body, status, ranges, breaks, sends = BODY, 200, True, 0, 700_000
    asked: list[str | None]
    daemon_threads = True

    def url(self, name: str = "text.txt") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
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
        self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            self.wfile.write(server.body[start : start + server.sends])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(server.body[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def section(server: Server, **more) -> dict:
    return {"kind": "url", "url": server.url(), "sha256": SHA256, **more}


def test_a_file_is_downloaded_once(run, server):
    rows = run(**section(server))
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [("text.txt", "text", BODY.decode())]
    assert run(**section(server)) == rows
    assert server.asked == [None]


def test_only_one_process_at_a_time_fetches_a_file(run, server):
    other = threading.Thread(target=run, kwargs=section(server))
    with alone(cache_folder(SHA256)):
        other.start()
        other.join(0.5)
        assert other.is_alive() and server.asked == []
    other.join()
    assert server.asked == [None]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(run, server):
    server.breaks = 2
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked == [None, "bytes=700000-", "bytes=1400000-"]


def test_the_next_run_goes_on_with_what_the_last_one_left(run, server):
    server.breaks, server.sends = 5, 100_000
    with pytest.raises(
        TransientError, match=r"^recipes/x\.yaml: ingest\.url: http://127.*: the connection broke 5 times$"
    ):
        run(**section(server))
    server.asked.clear()
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked == ["bytes=500000-"]


def test_a_server_that_cannot_resume_is_asked_for_all(run, server):
    server.breaks, server.ranges = 1, False
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked == [None, "bytes=700000-"]


def test_a_part_of_an_older_file_is_thrown_away(run, server):
    server.breaks, server.sends, server.body = 5, 1000, b"older " * 1_000
    with pytest.raises(TransientError):
        run(**section(server))
    server.breaks, server.body = 0, BODY
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked[-2:] == ["bytes=5000-", None]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(run, server):
    server.breaks, server.sends, server.body = 5, 500_000, BODY * 2
    with pytest.raises(TransientError):
        run(**section(server))
    server.breaks, server.body = 0, BODY
    assert run(**section(server))[0]["text"] == BODY.decode()


def test_another_checksum_is_the_users_mistake(run, server):
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.sha256: the checksum of http.* is {SHA256}$"):
        run(**section(server, sha256="0" * 64))


def test_what_the_server_answers_decides_whether_to_come_again(run, server):
    server.status = 404
    with pytest.raises(GristmillError, match=r"ingest\.url: http.*: the server returned 404$") as missing:
        run(**section(server))
    assert missing.value.exit_code == 2
    server.status = 503
    with pytest.raises(TransientError, match=r"ingest\.url: http.*: the server returned 503$") as busy:
        run(**section(server))
    assert busy.value.exit_code == 75


def test_no_server_may_be_one_later(run):
    with pytest.raises(TransientError, match=r"ingest\.url: http://127\.0\.0\.1:9/a\.txt: "):
        run(kind="url", url="http://127.0.0.1:9/a.txt", sha256=SHA256)


def test_an_archive_is_opened(run, server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("in/a.md", "*a*")
        zipped.writestr("in/b.txt", "b")
    server.body = packed.getvalue()
    sha256 = hashlib.sha256(server.body).hexdigest()
    rows = run(**section(server, url=server.url("texts.zip"), sha256=sha256, files=["in/*"]))
    assert [(row["id"], row["text"]) for row in rows] == [("in/a.md", "a"), ("in/b.txt", "b")]


def test_a_name_that_says_nothing_can_be_mended(run, server):
    assert run(**section(server, url=server.url("get?id=3"), filename="my.txt"))[0]["id"] == "my.txt"
    with pytest.raises(RecipeError, match=r"ingest\.filename: required, because the URL does not end in a file name"):
        run(**section(server, url=server.url("?id=3")))
    with pytest.raises(RecipeError, match=r"ingest\.files: text\.txt is not an archive"):
        run(**section(server, files=["*"]))
    with pytest.raises(RecipeError, match=r"ingest\.files: a\.zip is an archive; name its files"):
        run(**section(server, url=server.url("a.zip")))
