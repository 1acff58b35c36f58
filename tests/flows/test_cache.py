"""No damaged byte of DVC's cache reaches an output, and a damaged cache heals."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.graph import read_graph
from flows.runner import StageFailed, reproduce
from tests.flows.conftest import changed, dvc, edit

TEXT = Path("data/toy/second/text.txt")


def spoil(damage: Callable[[bytes], bytes], found: Callable[[Path, bytes], bool]) -> None:
    """Damage objects of the cache and leave them write-protected, as a bad disk does."""
    objects = [
        path for path in Path(".dvc/cache/files").rglob("*") if path.is_file() and found(path, path.read_bytes())
    ]
    assert objects
    for path in objects:
        path.chmod(0o644)
        path.write_bytes(damage(path.read_bytes()))
        path.chmod(0o444)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def listing(path: Path, _: bytes) -> bool:
    return path.suffix == ".dir"


def run_second(said: list[str] | None = None) -> str:
    node = next(node for node in read_graph("toy") if node.address == "second@toy")
    return reproduce(node, (said if said is not None else []).append).happened


@pytest.mark.parametrize(
    ("what", "damage"),
    [("a file", flipped), ("a file", lambda _: b""), ("a single output", lambda content: content[:-2])],
)
def test_a_damaged_object_is_discarded_and_the_stage_runs(ran_toy, what, damage):
    edit()
    assert run_second() == "ran"
    spoil(damage, lambda _, content: content == b"one two" if what == "a file" else b"too_short" in content)
    edit("three", "two")
    said: list[str] = []
    assert run_second(said) == "ran"
    assert any("damaged copies of data/toy/" in line for line in said)
    assert TEXT.read_text() == "one two"
    assert b"too_short" in Path("data/toy/evaluation/report.json").read_bytes()
    assert changed("toy") == []
    edit(), run_second(), edit("three", "two")
    assert run_second() == "restored"


def test_a_damaged_object_is_not_linked_to_an_output(ran_toy):
    dvc("config", "cache.type", "hardlink")
    spoil(flipped, lambda _, content: content == b"one two")
    with Path("tasks/second.py").open("a") as code:
        code.write("# Gives the same bytes.\n")
    assert run_second() == "ran"
    assert TEXT.read_text() == "one two"
    assert changed("toy") == []


def test_after_a_failure_no_damaged_output_is_restored(ran_toy):
    spoil(flipped, lambda _, content: content == b"one two")
    edit()
    Path("behave/second").write_text("bad")
    said: list[str] = []
    with pytest.raises(StageFailed):
        run_second(said)
    assert any("damaged copies of data/toy/second, which cannot be restored" in line for line in said)
    assert not TEXT.parent.exists() and Path("data/toy/evaluation/metrics.json").is_file()
    Path("behave/second").unlink()
    edit("three", "two")
    assert run_second() == "ran"
    assert TEXT.read_text() == "one two"


@pytest.mark.parametrize(
    ("stale", "damage"),
    [
        (False, lambda content: content[:9]),
        (False, lambda content: content.replace(b"relpath", b"relpbth")),
        (True, lambda _: b"[]"),
    ],
)
def test_a_damaged_listing_of_a_directory_heals(ran_toy, run_flow, stale, damage):
    spoil(damage, listing)
    if stale:
        Path("data/toy/second/text.txt").write_text("edited")
    assert [row.happened for row in run_flow("toy").rows] == ["unchanged", "ran" if stale else "unchanged"]
    assert TEXT.read_text() == "one two"
    assert "up to date" in dvc("status", "second@toy")


@pytest.mark.parametrize("damage", [lambda content: content[:9], lambda content: content.replace(b"path", b"pbth")])
def test_a_damaged_listing_of_an_earlier_run_heals(ran_toy, run_flow, damage):
    edit()
    assert run_second() == "ran"
    now = TEXT.stat().st_mtime - 0.05
    spoil(damage, lambda path, _: path.suffix == ".dir" and path.stat().st_mtime < now)
    edit("three", "two")
    assert run_flow("toy").rows[-1].happened == "ran"
    assert TEXT.read_text() == "one two"
