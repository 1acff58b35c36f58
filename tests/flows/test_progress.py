"""A bar on a terminal, signs of life in a log."""

import os
import re
import subprocess
import sys
import time

from flows import progress
from flows.progress import working

SCRIPT = """
import time
from flows.progress import bar_on_terminal, working
with bar_on_terminal(), working("stage 3 of 8: train@tiny", print) as hear:
    hear("train: 1,000/4,000 (25%) steps, 9.1/s, loss 2.5, 5 min 30 s left")
    hear("a line of the stage")
    time.sleep(0.6)
print("the end")
"""


def _on_a_terminal(script: str) -> str:
    ours, theirs = os.openpty()
    program = [sys.executable, "-c", script]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                said += chunk
        except OSError:  # how Linux tells the end
            pass
    os.close(ours)
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())


def test_a_terminal_has_a_bar_that_moves_below_the_lines() -> None:
    lines = re.split(r"[\r\n]+", _on_a_terminal(SCRIPT))
    bars = [line for line in lines if "stage 3 of 8: train@tiny" in line]
    assert len({line[0] for line in bars}) > 1  # the spinner turns
    (bar, *_) = [line for line in bars if "5 min 30 s left" in line]
    assert re.search(r"train@tiny ━━━━━\S+ 0:00:00 steps, 9\.1/s, loss 2\.5", bar)
    assert "a line of the stage" in lines and not any(line.startswith("train: 1,000") for line in lines)
    assert [line for line in lines if line.strip()][-1] == "the end"


def test_a_log_says_that_a_silent_stage_still_runs(monkeypatch) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.1)
    said: list[str] = []
    with working("stage 1 of 2: validate@tiny", said.append) as hear:
        hear("validate: 1/2 (50%) row groups, 1/s")
        time.sleep(0.35)
    assert said[:2] == ["stage 1 of 2: validate@tiny", "validate: 1/2 (50%) row groups, 1/s"]
    assert said[2].startswith("stage 1 of 2: validate@tiny: still running after 0.1")
    assert 3 <= len(said) <= 5
    time.sleep(0.15)
    assert len(said) <= 5  # it ends with the stage
