"""Checkpoints that a disk, a power cut or a hand has damaged, that fill a disk, or that nobody needs any more."""

import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.run import run
from tasks.train import checkpoints
from tasks.train.__main__ import STAGE
from tasks.train.checkpoints import BEST, MARK, save_best
from tasks.train.history import History
from tasks.train.loop import fit
from tests.train.test_loop import Record, bigrams, plan_of


def trained(folder: Path) -> tuple[dict[str, Any], History]:
    """The weights as lists, and the history; checkpoints 6 and 9 are left behind."""
    model = bigrams()
    history = fit(model, plan_of(folder, evaluate_every=4, checkpoint_every=3, keep="best"), Record())  # type: ignore[arg-type]
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}, history


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # the best weights are shared with other checkpoints
    path.write_bytes(content)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


FILES = ("model.safetensors", "optimizer.pt", "random.pt", "history.json", "identity.json", MARK, BEST)
MARKS = (b"", b"[]", b"{}", b"null", b"7", b'{"model.safetensors": 1}', b"\xff\xfe", b"[" * 100_000)
DAMAGE: dict[str, Callable[[Path], object]] = {
    **{f"{name} flip": lambda path, name=name: flip(path / name) for name in FILES},
    **{f"{name} gone": lambda path, name=name: (path / name).unlink() for name in FILES},
    "zeros": lambda path: zero(path / "optimizer.pt"),
    "a folder": lambda path: ((path / MARK).unlink(), (path / MARK).mkdir()),
    **{f"mark {text!r:.20}": lambda path, text=text: (path / MARK).write_bytes(text) for text in MARKS},
    "a file": lambda path: (shutil.rmtree(path), path.write_text("")),
    "a link": lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("nowhere")),
    "empty": lambda path: (shutil.rmtree(path), path.mkdir()),
    **{f"{name} is a pipe": lambda path, name=name: pipe(path / name) for name in FILES},
    **{f"{name} without end": lambda path, name=name: endless(path / name) for name in FILES},
    "a huge mark": lambda path: os.truncate(path / MARK, 1 << 40),
    "a loop": lambda path: ((path / MARK).unlink(), (path / MARK).symlink_to(MARK)),
    "of another step": lambda path: (shutil.rmtree(path), shutil.copytree(path.with_name("checkpoint-6"), path)),
}


def test_a_damaged_checkpoint_is_said_and_the_one_before_gives_the_same_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "whole").mkdir()
    whole, curve = trained(tmp_path / "whole")
    for number, (name, damage) in enumerate(DAMAGE.items()):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        damage(folder / "checkpoint-9")
        weights, history = trained(folder)
        assert (history.resumed_at, weights, history.to_csv()) == (6, whole, curve.to_csv()), name
        assert capfd.readouterr().err.startswith(f"train: {folder}/checkpoint-9: incomplete or damaged; removed"), name


def test_without_a_whole_checkpoint_training_begins_again_and_strangers_are_left_alone(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path)
    for step in (6, 9):
        flip(tmp_path / f"checkpoint-{step}" / "optimizer.pt")
    strangers = [tmp_path / name for name in ("checkpoint-", "checkpoint-last", "checkpoint-9.old", "checkpoint--1")]
    for stranger in strangers:
        stranger.mkdir()
    weights, history = trained(tmp_path)
    assert (history.resumed_at, weights) == (0, whole)
    assert all(stranger.is_dir() for stranger in strangers)


@pytest.mark.parametrize("damage", [flip, zero, Path.unlink])
def test_best_weights_damaged_before_the_end_are_never_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    (tmp_path / "whole").mkdir()
    whole, _ = trained(tmp_path / "whole")

    def save_and_damage(folder: Path, weights: Any) -> str:
        found = save_best(folder, weights)
        damage(folder / BEST)
        return found

    folder = tmp_path / "damaged"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_best", save_and_damage)
        with pytest.raises((TransientError, FileNotFoundError), match=r"best\.safetensors"):
            trained(folder)
    assert trained(folder)[0] == whole


def test_a_disk_that_is_full_while_the_optimizer_is_written_is_one_sentence(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    project(checkpoint_every=2)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        run(STAGE, "tiny")
        size = Path("data/tiny/model/model.safetensors").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, limits[1]))  # an optimizer is twice as large
        with pytest.raises(GristmillError, match=r"^data/tiny: the file is larger than .*; nothing was changed$"):
            run(STAGE, "tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    run(STAGE, "tiny")


def test_checkpoints_of_earlier_recipes_do_not_pile_up(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project()
    for number, name in enumerate(("older", "old")):
        left = folder / "checkpoints" / name
        (left / "checkpoint-4").mkdir(parents=True)
        (left / "best.safetensors").write_text("weights")
        for kept in ("record.jsonl", "timing.json"):
            (left / kept).write_text("{}")
        os.utime(left, (number, number))
    project(optimizer={"name": "adamw", "learning_rate": 1e30}, clip_norm=None, schedule={"warmup_steps": 0})
    with pytest.raises(GristmillError, match=r"the (loss|gradient) is"):
        run(STAGE, "tiny")
    assert [path.parent.name for path in folder.glob("checkpoints/*/checkpoint-*")] == ["old"], "an edit may be undone"
    assert "checkpoints/older: removed the checkpoints of an earlier version" in capfd.readouterr().err
    project()
    run(STAGE, "tiny")
    assert "checkpoints/old: removed the checkpoints of an earlier version" in capfd.readouterr().err
    assert not [*folder.glob("checkpoints/*/checkpoint-*"), *folder.glob("checkpoints/*/best*")]
    assert len([*folder.glob("checkpoints/old*/*.json*")]) == 4, "the record of these trainings stays"


NOBODY = 65534


def test_checkpoints_of_another_user_are_said_and_stop_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        own, theirs, hidden = (Path(name, folder) for folder in ("own", "theirs", "hidden"))
        for folder in (own, theirs, hidden):
            (folder / "checkpoint-3").mkdir(parents=True)
        for path, mode in ((Path(name), 0o777), (own, 0o777), (theirs, 0o555), (hidden, 0)):
            path.chmod(mode)
        user = os.geteuid()
        if user == 0:  # to whom nothing is forbidden
            os.chown(own / "checkpoint-3", NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            checkpoints.clear_others(own, keep=0)
            checkpoints.clear(own)
        finally:
            os.seteuid(user)
            theirs.chmod(0o777)
            hidden.chmod(0o777)
        assert not [*own.iterdir()] and [*theirs.iterdir()] and [*hidden.iterdir()]
        told = f"train: {theirs}/checkpoint-3: cannot be removed: Permission denied; remove it yourself\n"
        assert capfd.readouterr().err == told


def test_a_link_beside_the_checkpoints_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "backup/checkpoint-3").mkdir(parents=True)
    (tmp_path / "checkpoints/own").mkdir(parents=True)
    (tmp_path / "checkpoints/old").symlink_to(tmp_path / "backup")
    checkpoints.clear_others(tmp_path / "checkpoints/own", keep=0)
    assert (tmp_path / "backup/checkpoint-3").is_dir()
