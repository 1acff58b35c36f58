"""`make test-slow`: a longer training of every task starts from a shorter one, and ends with the bytes of its own."""

import json
import shutil
from pathlib import Path

import pytest

from tasks.stage.run import run
from tasks.stage.task import TASKS
from tasks.train.__main__ import STAGE
from tests.kills import outputs, prepare
from tests.scratch import without_tracking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("task", TASKS)
def test_a_longer_training_of_every_task_has_the_bytes_of_its_own(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    without_tracking(monkeypatch)
    folder = prepare(task, steps=60)
    run(STAGE, "tiny")
    recipe = Path("recipes/tiny.yaml")
    settings = json.loads(recipe.read_text())
    settings["train"]["steps"] = 100
    recipe.write_text(json.dumps(settings))
    starts, made = [], []
    for _ in range(2):
        identity = run(STAGE, "tiny").details["identity"]
        made.append(outputs(folder))
        timing = folder / "checkpoints" / identity / "timing.json"
        starts.append(json.loads(timing.read_text())["resumed_at"])
        shutil.rmtree(folder / "checkpoints")
    assert made[0] == made[1]
    average = settings["train"].get("average", {})
    assert starts == [60 - int(60 * average["last"]) if average.get("last", 0) > 0.5 else 30, 0]
