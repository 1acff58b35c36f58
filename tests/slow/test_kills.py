"""`make test-slow`: every task, killed at 20 random moments; compiled or in several processes by GRISTMILL_COMPILE and
GRISTMILL_LAUNCH."""

import os
import time
from pathlib import Path

import pytest

from tasks.stage.task import TASKS
from tests.kills import kill_at_random, prepare
from tests.scratch import without_tracking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("GRISTMILL_TEST_KILLS") or 20)


@pytest.mark.parametrize("task", TASKS)
def test_twenty_kills_leave_no_trace_in_the_bytes(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    without_tracking(monkeypatch)
    seed = time.time_ns() % 2**32  # other moments each time; an error names it
    seen = kill_at_random(prepare(task, steps=150), KILLS, seed)
    print(f"{task}: seed {seed}, {seen}")
    assert seen.hit == KILLS and max(seen.resumed) > 0, (seed, seen)
