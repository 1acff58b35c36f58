"""The graph comes from dvc.yaml through DVC; errors in it are one sentence."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.graph import changes, read_graph
from flows.workspace import claim
from tasks.stage.errors import GristmillError


def test_stages_stand_behind_those_whose_outputs_they_need_of_other_recipes_too(toy):
    nodes = {node.address: node for node in read_graph("child")}
    assert list(nodes) == ["first@toy", "second@toy", "first@child", "second@child"]
    assert nodes["first@child"].upstream == ("second@toy",)
    assert (nodes["second@child"].stage, nodes["second@child"].recipe) == ("second", "child")
    assert "data/child/second" in nodes["second@child"].outs
    assert [node.address for node in read_graph("toy")] == ["first@toy", "second@toy"]


def test_changes_name_the_stages_and_the_reasons(toy):
    assert "recipes/toy.yaml" in changes(["first@toy"])["first@toy"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda: shutil.rmtree(".git"), "run `git init`"),
        (lambda: shutil.rmtree(".dvc"), ".dvc: not found"),
        (lambda: Path("dvc.yaml").unlink(), "dvc.yaml: not found"),
        (lambda: Path("dvc.yaml").write_text("stages: ["), "dvc.yaml.*line 2"),
        (
            lambda: Path("dvc.yaml").write_text("vars: [recipes: {a: {}}]\nstages: {}\n"),
            "vars.recipes: toy is missing",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(toy, spoil, sentence):
    spoil()
    with pytest.raises(GristmillError, match=sentence) as told:
        read_graph("toy")
    assert "\n" not in str(told.value)


def garbage(path: str, content: bytes = bytes(range(128, 256)) * 40) -> Path:
    """Overwrite one of DVC's own files."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        (".dvc/tmp/rwlock", b"{half", r"rwlock.*; delete \.dvc/tmp/rwlock when no DVC"),
        (".dvc/tmp/rwlock", b"\0" * 90, r"rwlock.*; delete \.dvc/tmp/rwlock when no DVC"),
        (".dvc/tmp/rwlock", b'{"read": 3}', r"rwlock.*; delete \.dvc/tmp/rwlock when no DVC"),
        (".dvc/tmp/rwlock", None, r"^\.dvc/tmp/rwlock: not UTF-8; delete"),
        ("dvc.lock", b"stages: [", r"^unable to read: 'dvc\.lock'.*; run `git checkout dvc\.lock`, or delete it"),
        ("dvc.lock", b"", r"dvc\.lock' validation failed.*; run `git checkout dvc\.lock`, or delete it"),
        ("dvc.lock", None, r"^unable to read: 'dvc\.lock'.*; run `git checkout dvc\.lock`, or delete it"),
        (".dvc/config", b"[core", r"^config file error.*; correct \.dvc/config"),
        (".dvc/config.local", None, r"\.dvc/config"),
        (".dvcignore", None, r"^\.dvcignore: not UTF-8; restore it$"),
        ("own.dvc", b"outs: [", r"^unable to read: 'own\.dvc'"),
        ("hashes/local/cache.db", None, r"/hashes/local: DVC's record of .*; delete this folder"),
        ("links/cache.db", None, r"/links: DVC's record of .*; delete this folder"),
    ],
)
def test_a_damaged_file_of_dvc_is_named_with_the_way_out(toy, monkeypatch, path, content, sentence):
    if path.endswith(".db"):
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(toy / "site"))
        changes(["first@toy"])
        path = str(next(toy.glob(f"site/repo/*/{path}")))
    garbage(path, *[content] if content is not None else [])
    with pytest.raises(GristmillError, match=sentence) as told:
        changes(["first@toy"])
    assert "\n" not in str(told.value) and not str(told.value).startswith("dvc.yaml:")


@pytest.mark.parametrize("path", [".dvc/tmp/lock", ".dvc/tmp/gristmill-toy.lock"])
def test_a_folder_in_the_place_of_a_lock_is_named(toy, path):
    Path(path).mkdir(parents=True)
    with pytest.raises(GristmillError, match=rf"{path}: .*Is a directory"), claim("toy", [], print):
        changes(["first@toy"])


@pytest.mark.parametrize("dead", ["gone", "zombie", "number given to another program"])
def test_locks_of_killed_processes_are_released_without_a_word(toy, dead):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        if dead != "number given to another program":
            process.kill()
        if dead == "gone":
            process.wait()
        place = str(Path("data/toy/first").absolute())
        holder = {"pid": process.pid, "cmd": "dvc repro"}
        lock = Path(".dvc/tmp/rwlock")
        lock.parent.mkdir(exist_ok=True)
        lock.write_text(json.dumps({"write": {place: holder}, "read": {place: [holder]}}))
        if dead == "number given to another program":
            os.utime(lock, (0, 0))
        assert "first@toy" in changes(["first@toy"])
        assert not any(json.loads(lock.read_text()).values())
        process.kill()


def test_the_locks_of_a_running_process_stay(toy):
    lock = Path(".dvc/tmp/rwlock")
    lock.parent.mkdir(exist_ok=True)
    holders = {"write": {str(Path("data/toy/second").absolute()): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    lock.write_text(json.dumps(holders))
    changes(["first@toy"])
    assert json.loads(lock.read_text())["write"] == holders["write"]
