"""Checkpoints that are written beside the training: when, one at a time, and what a disk that fails does."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError
from tasks.train import checkpoints, writer
from tasks.train.log import Log
from tasks.train.loop import Training, fit
from tests.train.test_loop import Record, bigrams, plan_of

SAVE = checkpoints.save


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoint-*"))


def test_there_are_never_two_at_once_and_what_is_written_is_the_state_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most, written = 0, 0, {}

    def slow(place: Path, snapshot: Any, *more: Any) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(at_once, most)
        time.sleep(0.05)
        written[checkpoints.step_of(place)] = snapshot.weights["head.bias"].tolist()
        SAVE(place, snapshot, *more)
        at_once -= 1

    monkeypatch.setattr(checkpoints, "save", slow)
    model, after = bigrams(), {}
    training = Training(model, plan_of(tmp_path, checkpoint_every=2))
    training.optimizer.optimizer.register_step_post_hook(
        lambda *_: after.update({len(after) + 1: model.head.bias.tolist()})
    )
    history = training.run(Record())  # type: ignore[arg-type]
    assert most == 1 and written == {step: after[step] for step in (2, 4, 6, 8, 10)}
    assert history.checkpoints == 5 and history.checkpoint_seconds > 0.25 and history.checkpoint_waited > 0
    assert "checkpoint" not in {thread.name for thread in threading.enumerate()}


def test_an_error_of_the_disk_ends_the_training_at_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(checkpoints, "save", full)
    training = Training(bigrams(), plan_of(tmp_path, steps=1000, checkpoint_every=2))
    with pytest.raises(OSError, match="No space left on device"):
        training.run(Record())  # type: ignore[arg-type]
    assert names(tmp_path) == ["checkpoint-2"]

    def infinite(*_: Any) -> None:
        raise GristmillError("the loss is inf")

    other = Training(bigrams(), plan_of(tmp_path, steps=3, checkpoint_every=2))
    monkeypatch.setattr(Log, "row", infinite)
    with pytest.raises(GristmillError, match="the loss is inf"):
        other.run(Record())  # type: ignore[arg-type]
    assert "the last checkpoint could not be written: [Errno 28]" in capfd.readouterr().err


def test_a_stop_waits_for_the_checkpoint_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    def slow(*arguments: Any) -> None:
        began.set()
        time.sleep(0.3)
        SAVE(*arguments)

    monkeypatch.setattr(checkpoints, "save", slow)
    training = Training(bigrams(), plan_of(tmp_path, steps=100_000, checkpoint_every=3))

    def interrupt(*_: Any) -> None:
        if began.is_set():
            signal.raise_signal(signal.SIGINT)

    training.optimizer.optimizer.register_step_post_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.run(Record())  # type: ignore[arg-type]
    whole = checkpoints.last_whole(tmp_path, training.plan.identity)
    assert whole is not None and whole.name == "checkpoint-3"


def test_minutes_call_for_a_checkpoint_as_steps_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10
        return now

    monkeypatch.setattr(writer.time, "monotonic", clock)
    saved: list[str] = []
    monkeypatch.setattr(checkpoints, "save", lambda place, *more: (saved.append(place.name), SAVE(place, *more)))
    for minutes in ("0", "1.5"):
        saved.clear()
        folder = tmp_path / minutes
        folder.mkdir()
        monkeypatch.setenv("GRISTMILL_CHECKPOINT_MINUTES", minutes)
        fit(bigrams(), plan_of(folder, checkpoint_every=5), Record())  # type: ignore[arg-type]
        assert {"checkpoint-5", "checkpoint-10"} <= set(saved)
        assert (len(saved) == 2) == (minutes == "0"), saved
    monkeypatch.setenv("GRISTMILL_CHECKPOINT_MINUTES", "soon")
    with pytest.raises(GristmillError, match=r"^GRISTMILL_CHECKPOINT_MINUTES: 'soon' is not a number of minutes >= 0$"):
        Training(bigrams(), plan_of(tmp_path))
