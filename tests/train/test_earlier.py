"""Trainings that begin with the checkpoint of one of another length, or say why they do not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError
from tasks.stage.run import run
from tasks.train.__main__ import STAGE
from tasks.train.identity import differences
from tasks.train.schedule import share, stable_steps
from tasks.train.settings import ScheduleSettings
from tests.train.conftest import CONFIGS
from tests.train.test_training import outputs

Project = Callable[..., Path]
OFTEN: dict[str, Any] = {"evaluate_every": 5, "log_every": 3, "keep": "best", "accumulation": 2, "checkpoint_every": 4}
DROPOUT = {**CONFIGS["gpt_neox"], "hidden_dropout": 0.1}


def train(make: Project, steps: float | None, decay: float = 0.5, **more: Any) -> tuple[dict[str, bytes], int]:
    """The outputs of a training, and the step it went on from."""
    schedule = {"warmup_steps": 2, "decay": decay}
    folder = make(config=DROPOUT, steps=steps, **{"schedule": schedule, **OFTEN, **more})
    identity = run(STAGE, "tiny").details["identity"]
    timing = json.loads((folder / "checkpoints" / identity / "timing.json").read_text())
    assert timing["resumed_at"] == timing.get("continued_from", {"step": 0})["step"]
    return outputs(folder), timing["resumed_at"]


def anew(make: Project, *arguments: Any, **more: Any) -> dict[str, bytes]:
    shutil.rmtree("data/tiny/checkpoints")
    made, start = train(make, *arguments, **more)
    assert start == 0
    return made


def left() -> list[str]:
    return sorted(path.name for path in Path("data/tiny/checkpoints").glob("*/*-[0-9]*"))


@pytest.mark.parametrize("shorter", [10, 14])
def test_a_longer_training_goes_on_from_the_end_of_the_stable_phase(
    project: Project, capfd: pytest.CaptureFixture[str], shorter: int
) -> None:
    train(project, shorter)
    assert left() == [f"stable-{shorter // 2}"]
    longer, start = train(project, 24)
    assert start == shorter // 2
    assert f"going on from step {start} of a training of {shorter} steps" in capfd.readouterr().err
    assert left() == ["stable-12"], "one per recipe"
    assert anew(project, 24) == longer


@pytest.mark.parametrize("damage", ["damaged", "by hand", "without"])
def test_a_damaged_checkpoint_of_an_earlier_training_is_not_used(project: Project, damage: str) -> None:
    train(project, 8)
    (path,) = Path("data/tiny/checkpoints").glob("*/stable-4")
    identity = path / "identity.json"
    if damage == "damaged":
        (path / "optimizer.pt").write_bytes(b"half")
    elif damage == "by hand":
        identity.write_text('{"values": {"train": [], "task": null}, "steps": 8}')
    else:
        identity.unlink()
    assert train(project, 12)[1] == 0


def test_a_longer_training_by_epochs_with_averaging_goes_on(project: Project) -> None:
    average = {"last": 0.7}
    train(project, 20, average=average)
    assert left() == ["stable-6"], "before averaging begins"
    longer, start = train(project, None, epochs=3, average=average, checkpoint_every=100)
    assert start == 6
    assert anew(project, None, epochs=3, average=average, checkpoint_every=100) == longer


def test_a_shorter_training_goes_on_from_a_longer_one_that_is_not_finished(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(GristmillError, match="stopped after step 9"):
        patch.setenv("GRISTMILL_STOP_AFTER", "9")
        train(project, 40)
    assert left() == ["checkpoint-4", "checkpoint-8"]
    shorter, start = train(project, 12)
    assert start == 4, "8 is beyond the stable phase of the shorter one"
    assert anew(project, 12) == shorter


def test_what_differs_is_said_and_the_training_starts_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, pytest.raises(GristmillError, match="stopped after step 9"):
        patch.setenv("GRISTMILL_STOP_AFTER", "9")
        train(project, 12)
    _, start = train(project, 24, accumulation=1, seed=3)
    said = "not going on from step 8 of an earlier version: train.accumulation 2 → 1, train.seed 0 → 3, train.steps 12"
    assert start == 0 and said in capfd.readouterr().err

    train(project, 24, schedule={"name": "cosine"})
    train(project, 30, schedule={"name": "cosine"})
    assert "going on" not in capfd.readouterr().err, "a cosine is another one from its first step on"


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "5")
    for seed in (0, 1):
        with pytest.raises(GristmillError, match="stopped after step 5"):
            train(project, 12, seed=seed)
    one, other = sorted(Path("data/tiny/checkpoints").iterdir())
    shutil.rmtree(one / "checkpoint-4")
    shutil.copytree(other / "checkpoint-4", one / "checkpoint-4")
    identity = json.loads((other / "checkpoint-4/identity.json").read_text())
    seed = 1 - identity["values"]["train"]["seed"]
    with pytest.raises(GristmillError) as refused:
        train(project, 12, seed=seed)
    assert str(refused.value) == (
        f"{one}/checkpoint-4: a checkpoint of another training, which this one cannot go on from: train.seed "
        f"{1 - seed} → {seed}; remove it"
    )


@pytest.mark.parametrize("settings", [{"decay": 0.6}, {"decay": 0.1, "warmup_steps": 300}, {"decay": 1e-9}])
def test_the_stable_steps_have_the_rates_of_a_longer_training(settings: dict[str, Any]) -> None:
    schedule = ScheduleSettings(**settings)
    for steps in (1, 7, 299, 800):
        shared = stable_steps(steps, schedule)
        assert shared < steps
        rates = [[share(step, long, schedule) for step in range(shared)] for long in (steps, 2 * steps, 1000)]
        assert rates[0] == rates[1] == rates[2]
    assert stable_steps(800, ScheduleSettings(decay=0.6)) == 320
    assert stable_steps(800, ScheduleSettings(name="cosine")) == 0


def test_differences_name_keys_with_settings_first_and_shorten_the_rest() -> None:
    old = {"code": {"version": 1}, "inputs": {"tokens/train": "a" * 64}, "train": {"steps": 1, "lora": None, "x": [1]}}
    new = {"code": {"version": 2}, "inputs": {"tokens/train": "b" * 64}, "train": {"steps": 2, "lora": {"rank": 4}}}
    assert differences(old, new) == (
        "train.lora.rank not set → 4, train.steps 1 → 2, train.x [1] → not set, code.version 1 → 2 and 1 more"
    )
    assert differences({"inputs": old["inputs"]}, {"inputs": new["inputs"]}) == "inputs.tokens/train changed"
    assert differences(old, old) == ""
