"""Run a command of ours, `python -m tasks.evaluate.rescore …`, in a process of its own, for work that needs its own
memory, or whose room this one does not know."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def run_apart(module: str, *arguments: str) -> tuple[int, str | None]:
    """The exit code, and the sentence of a command that failed; see `tasks.stage.run.end`."""
    with tempfile.TemporaryDirectory(prefix="gristmill-apart-") as folder:
        told = Path(folder) / "outcome.json"
        environment = {**os.environ, "GRISTMILL_OUTCOME": str(told)}
        code = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False).returncode
        outcome = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    return code, outcome.get("error") or (f"{module} ended with exit code {code}" if code else None)
