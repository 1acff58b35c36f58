"""Temporary folders of killed processes are removed; all others stay."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tasks.stage.scratch import scratch

KILLED = """
import os, signal
from tasks.stage.scratch import scratch
with scratch("register") as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_is_removed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(tmp_path)})
    (left,) = tmp_path.iterdir()
    strangers = [tmp_path / "gristmill-register", tmp_path / f"gristmill-profile-{left.name.split('-')[2]}-x"]
    for folder in strangers:
        folder.mkdir()
    with scratch("register") as first, scratch("register") as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second, *strangers])
    assert capfd.readouterr().err == f"register: removed {left}, left by a process that was killed\n"
    assert sorted(tmp_path.iterdir()) == sorted(strangers)
