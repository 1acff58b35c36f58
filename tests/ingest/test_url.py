"""A download from a real server on loopback: complete, interrupted, resumed, refused."""

import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import pytest

from tasks.fetch.downloads import alone, cache_folder
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tests.web import BODY, Server

SHA256 = hashlib.sha256(BODY).hexdigest()


def section(server: Server, **more) -> dict:
    return {"kind": "url", "url": server.url(), "sha256": SHA256, **more}


def test_a_file_is_downloaded_once(run, server):
    rows = run(**section(server))
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [("text.txt", "text", BODY.decode())]
    assert run(**section(server)) == rows
    assert server.asked == [None]


def test_a_password_comes_from_netrc_and_never_from_the_recipe(run, server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    run(**section(server))
    assert server.login == "Basic bWU6czNjcmV0"
    with pytest.raises(RecipeError, match=r"^recipes/x\.yaml: ingest\.url: holds a password"):
        run(**section(server, url=server.url().replace("//", "//me:s3cret@")))


def test_only_one_process_at_a_time_fetches_a_file(run, server):
    other = threading.Thread(target=run, kwargs=section(server))
    with alone(cache_folder(SHA256)):
        other.start()
        other.join(0.5)
        assert other.is_alive() and server.asked == []
    other.join()
    assert server.asked == [None]


@pytest.mark.parametrize(
    ("breaks", "ranges", "asked"),
    [(2, True, ["bytes=700000-", "bytes=1400000-"]), (1, False, ["bytes=700000-"])],
    ids=["where it broke", "from the start, if the server cannot resume"],
)
def test_a_connection_that_breaks_is_taken_up(run, server, breaks, ranges, asked):
    server.breaks, server.ranges = breaks, ranges
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked == [None, *asked]


def test_the_next_run_goes_on_with_what_the_last_one_left(run, server):
    server.breaks, server.sends = 5, 100_000
    with pytest.raises(
        TransientError, match=r"^recipes/x\.yaml: ingest\.url: http://127.*: the connection broke 5 times$"
    ):
        run(**section(server))
    server.asked.clear()
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked == ["bytes=500000-"]


@pytest.mark.parametrize(("size", "older"), [(1_000, b"older " * 1_000), (500_000, BODY * 2)])
def test_a_part_of_an_older_or_longer_file_is_thrown_away(run, server, size, older):
    server.breaks, server.sends, server.body = 5, size, older
    with pytest.raises(TransientError):
        run(**section(server))
    server.breaks, server.body = 0, BODY
    assert run(**section(server))[0]["text"] == BODY.decode()
    assert server.asked[-2:] == [f"bytes={5 * size}-", None]


def test_another_checksum_is_the_users_mistake(run, server):
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.sha256: the checksum of http.* is {SHA256}$"):
        run(**section(server, sha256="0" * 64))


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(401, GristmillError, 2), (403, GristmillError, 2), (404, GristmillError, 2), (503, TransientError, 75)],
)
def test_what_the_server_answers_decides_whether_to_come_again(run, server, status, error, code):
    server.status = status
    with pytest.raises(error, match=rf"ingest\.url: http.*: the server returned {status}$") as raised:
        run(**section(server))
    assert raised.value.exit_code == code


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher:x"])
def test_a_redirect_to_what_is_no_web_page_is_not_tried_again(run, server, location):
    server.location = location
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest\.url: http.*text\.txt: ") as raised:
        run(**section(server))
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 5000, ""])
def test_a_download_ends_before_the_disk_is_full(run, server, monkeypatch, length):
    server.length = length
    free = shutil.disk_usage(cache_folder(SHA256)).free
    monkeypatch.setattr("tasks.fetch.downloads.RESERVE", free - 100_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    told = "more bytes than the disk of .* has room for$" if length == "" else ""
    with pytest.raises(GristmillError, match=rf"^recipes/x\.yaml: ingest\.url: http.*: {told}"):
        run(**section(server))
    assert not list(cache_folder(SHA256).glob("*.part"))


def test_a_download_that_is_too_big_is_not_begun(run, server, monkeypatch):
    monkeypatch.setattr("tasks.fetch.downloads.RESERVE", 1 << 60)
    with pytest.raises(GristmillError, match=rf": {len(BODY):,} bytes, but the disk of .* has room for 0 only$"):
        run(**section(server))


@pytest.mark.parametrize("name", ["a%00b.txt", "%0a.txt", "x" * 300 + ".txt", "%E9" * 90, "..%2Fa.txt", "%2e%2e"])
def test_a_name_that_no_file_can_have_is_told(run, server, name):
    with pytest.raises(RecipeError, match=r"ingest\.filename: required, because the URL does not end in a file name"):
        run(**section(server, url=server.url(name)))
    assert server.asked == []


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


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_two_files_of_one_name_in_an_archive_are_refused(run, server, kind):
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as zipped:
            for text in ("one", "two"):
                zipped.writestr("a.txt", text)
    else:
        with tarfile.open(fileobj=packed, mode="w") as tarred:
            for name in ("a.txt", "./a.txt"):
                tarred.addfile(tarfile.TarInfo(name), io.BytesIO())
    server.body = packed.getvalue()
    sha256 = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(DataError, match=rf"^texts\.{kind}: two files are named '(\./)?a\.txt'; unpack it yourself$"):
        run(**section(server, url=server.url(f"texts.{kind}"), sha256=sha256, files=["*.txt"]))


def test_a_locked_file_in_an_archive_is_named(run, server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("a.txt", "one")
    locked = bytearray(packed.getvalue())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(header) + flags] |= 1
    server.body = bytes(locked)
    sha256 = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(DataError, match=r"^texts\.zip: a\.txt needs a password; unpack it yourself$"):
        run(**section(server, url=server.url("texts.zip"), sha256=sha256, files=["*.txt"]))
