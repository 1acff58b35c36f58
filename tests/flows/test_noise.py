"""What `gristmill noise` says when it stops, and how it shares files; tests/test_whole.py runs it."""

from pathlib import Path

import pytest

from flows.noise import _link, _our_command, measure_noise
from flows.stop import Stopped
from tasks.stage.errors import GristmillError


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("train@x: stopped at 3 of 9 steps; `gristmill run x` goes on from step 2", "`gristmill noise x` goes on from"),
        ("train@x: stopped; the next run starts this stage again", "the next `gristmill noise x` starts this stage"),
    ],
)
def test_a_training_that_is_stopped_names_the_command_that_goes_on(said: str, told: str) -> None:
    with pytest.raises(Stopped, match=told) as caught, _our_command("x"):
        raise Stopped(15, said)
    assert caught.value.exit_code == 143


def test_shared_files_are_links_that_outlive_what_replaces_them(tmp_path: Path) -> None:
    source, place = tmp_path / "tokens", tmp_path / "workspace/tokens"
    (source / "train").mkdir(parents=True)
    (source / "train/tokens.bin").write_bytes(b"old")
    (source / "cached").symlink_to(source / "train/tokens.bin")  # as DVC links its cache
    _link(source, place)
    assert (source / "train/tokens.bin").samefile(place / "train/tokens.bin")
    assert not (place / "cached").is_symlink()
    (source / "train/tokens.bin").unlink()
    (source / "train/tokens.bin").write_bytes(b"new")
    assert (place / "train/tokens.bin").read_bytes() == (place / "cached").read_bytes() == b"old"


def test_one_seed_has_no_spread() -> None:
    with pytest.raises(GristmillError, match="a spread needs at least 2 seeds, not 1"):
        measure_noise("tiny", 1, print)
