"""Commits, files, packages and versions of code between two records, with real git."""

import json
import subprocess
from hashlib import md5
from pathlib import Path

import pytest

from tasks.changes.code import find_code
from tasks.changes.record import COMMIT, DIRTY, Record

LOCK = """schema: '2.0'
stages:
  train@tiny:
    cmd: x
    deps:
    - {{path: data/code/train.json, hash: md5, md5: {0}, size: 1}}
    outs:
    - {{path: data/tiny/model, hash: md5, md5: {1}.dir, size: 1, nfiles: 1}}
"""


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def commit(message: str, **files: str) -> str:
    for name, content in files.items():
        Path(f"{name}.txt").write_text(content)
    git("add", "-A")
    git("commit", "-q", "-m", message)
    return git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    return tmp_path


def record(name: str, commit: str = "", **files: Path) -> Record:
    return Record(name, "tiny", {key.replace("_", "."): path for key, path in files.items()}, {COMMIT: commit})


def test_commits_and_files_between_two_runs_are_listed(repository: Path) -> None:
    first = commit("first", a="1", b="1")
    second = commit("a longer training\n\nwith a body", a="2", ünïcode="1")
    found = find_code(record("old", first), record("new", second))
    assert [(each.subject, each.author, each.of_new) for each in found.commits] == [("a longer training", "Ada", True)]
    assert [(each.path, each.status) for each in found.files] == [("a.txt", "changed"), ("ünïcode.txt", "added")]
    assert find_code(record("old", first), record("new", first)).commits == ()


def test_commits_that_only_the_old_run_has_are_told_apart(repository: Path) -> None:
    start = commit("start", a="1")
    old = commit("dropped", a="2")
    git("checkout", "-q", "-b", "other", start)
    new = commit("taken", a="3")
    found = find_code(record("old", old), record("new", new))
    assert [(each.subject, each.of_new) for each in found.commits] == [("taken", True), ("dropped", False)]


@pytest.mark.parametrize("strange", ["f" * 40, "--output=x", "HEAD; rm"])
def test_a_commit_of_another_clone_is_one_sentence(repository: Path, strange: str) -> None:
    known = commit("first", a="1")
    found = find_code(record("old", strange), record("new", known))
    assert found.commits == () and f"commit {strange[:12]} of old is not in this repository" in found.notes[0]
    assert not Path("x").exists()


def test_without_a_repository_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "is not in this repository" in find_code(record("old", "a" * 40), record("new", "b" * 40)).notes[0]


def test_uncommitted_changes_are_said(repository: Path) -> None:
    old, new = record("old", commit("first", a="1")), record("new", commit("second", a="2"))
    new = Record(new.name, "tiny", {}, {**new.tags, DIRTY: "true"})
    assert "new was trained with changes that were not committed" in find_code(old, new).notes


def test_versions_of_code_libraries_and_packages(repository: Path) -> None:
    records = []
    for name, version, torch in (("old", 1, "2.12.0"), ("new", 2, "2.13.0")):
        code = json.dumps({"version": version, "libraries": {"torch": torch, "numpy": "2.0"}}).encode()
        digest = md5(code, usedforsecurity=False).hexdigest()
        (objects := repository / "cache" / digest[:2]).mkdir(parents=True)
        (objects / digest[2:]).write_bytes(code)
        lock, packages = repository / f"{name}.lock", repository / f"{name}.txt"
        lock.write_text(LOCK.format(digest, "5" * 32))
        packages.write_text(f"numpy==2.0\ntorch=={torch}\n" + ("rich==15.0\n" if name == "new" else ""))
        files = {"dvc.lock": lock, "environment/requirements.txt": packages}
        records.append(Record(name, "tiny", files, objects=repository / "cache"))
    found = find_code(*records)
    assert [(each.name, each.old, each.new) for each in found.stages] == [("train", "version 1", "version 2")]
    assert [(each.name, each.old, each.new) for each in found.libraries] == [("torch", "2.12.0", "2.13.0")]
    packages = [(each.name, each.old, each.new) for each in found.packages]
    assert packages == [("rich", None, "15.0"), ("torch", "2.12.0", "2.13.0")]
    lost = find_code(*(Record(each.name, "tiny", each.files) for each in records))
    assert lost.stages[0].old and lost.stages[0].old.startswith("unknown (") and lost.libraries == ()
