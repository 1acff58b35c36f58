"""What a scratch workspace says when it is stopped, and how it shares files; tests/test_sweep.py runs it."""

from pathlib import Path

import pytest

from flows.scratch_run import Workspace, link
from flows.stop import Stopped


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("train@x: stopped at 3 of 9 steps; `gristmill run x` goes on from step 2", "`gristmill noise x` goes on from"),
        ("train@x: stopped; the next run starts this stage again", "the next `gristmill noise x` starts this stage"),
    ],
)
def test_a_training_that_is_stopped_names_the_command_that_goes_on(said: str, told: str) -> None:
    workspace = Workspace("x", Path(), "gristmill noise x")
    with pytest.raises(Stopped, match=told) as caught, workspace.environment():
        raise Stopped(15, said)
    assert caught.value.exit_code == 143


def test_shared_files_are_links_that_outlive_what_replaces_them(tmp_path: Path) -> None:
    source, place = tmp_path / "tokens", tmp_path / "workspace/tokens"
    (source / "train").mkdir(parents=True)
    (source / "train/tokens.bin").write_bytes(b"old")
    (source / "cached").symlink_to(source / "train/tokens.bin")  # as DVC links its cache
    link(source, place)
    assert (source / "train/tokens.bin").samefile(place / "train/tokens.bin")
    assert not (place / "cached").is_symlink()
    (source / "train/tokens.bin").unlink()
    (source / "train/tokens.bin").write_bytes(b"new")
    assert (place / "train/tokens.bin").read_bytes() == (place / "cached").read_bytes() == b"old"
