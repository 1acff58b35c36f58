"""Run a command of ours, `python -m tasks.evaluate.rescore …`, in a process of its own, for work that needs its own
memory, or whose room this one does not know."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def run_apart(module: str, *arguments: str) -> tuple[int, str | None]:
    """The exit code, and the sentence of a command that failed; see `tasks.stage.run.end`."""
    with tempfile.TemporaryDirectory(prefix="gristmill-apart-") as folder:
        told = Path(folder) / "outcome.json"
        environment = {**os.environ, "GRISTMILL_OUTCOME": str(told)}
        code = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False).returncode
        outcome = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    return code, outcome.get("error") or (f"{module} ended with exit code {code}" if code else None)


class Answering:
    """A command that writes a line of JSON for each line that it reads."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, question: Any) -> dict[str, Any]:
        """The answer to a line of JSON. Raises EOFError if the command has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer
            self._process.stdin.write(f"{json.dumps(question)}\n")
            self._process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next line. Raises EOFError if the command has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError(f"ended with exit code {self._process.wait()}")
        return dict(json.loads(line))


@contextmanager
def answering(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, silent: bool = False
) -> Iterator[Answering]:
    """Such a command, which ends with the block; `environment`: beside that of this process; `silent`: on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if silent else None, text=True, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    try:
        yield Answering(process)
    finally:
        process.kill()
        with suppress(BrokenPipeError):
            process.communicate()
