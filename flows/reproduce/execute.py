"""Runs one stage of a work tree: with its own code and environment, and without a record in MLflow."""

import json
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.launch import launch
from flows.runner import HINTS, crash
from flows.stop import stopped_at
from tasks.register.reproduction import Recorded
from tasks.stage.errors import EXIT_STOPPED, EXIT_TRANSIENT, GristmillError, TransientError
from tasks.stage.runtime import timeout

QUIET = ("record: ",)
"""Lines of a training about its record, which it has none of here."""
TAIL = 200
OURS = (
    "GRISTMILL_FLOW_RUN", "GRISTMILL_STOP_AFTER", "MLFLOW_RUN_ID", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME",
    "PYTHONHOME", "VIRTUAL_ENV",
)  # fmt: skip
"""Variables that would lead a stage elsewhere, or change what it does."""


@dataclass(frozen=True)
class Bench:
    """Where stages run: the project's folder in the work tree, its Python, and variables of the environment."""

    folder: Path
    python: Path
    variables: Mapping[str, str]
    outcome: Path

    def run(self, command: str, address: str, say: Callable[[str], None], **more: str) -> float:
        """Run a stage's command; returns its seconds.

        Raises GristmillError if it fails, TransientError if that may pass.
        """
        stage = address.partition("@")[0]
        self.outcome.unlink(missing_ok=True)
        given = {**dict.fromkeys(OURS, ""), **self.variables, "GRISTMILL_OUTCOME": str(self.outcome), **more}
        words = [f"{name}={value}" for name, value in given.items()]
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            del lines[:-TAIL]
            if not line.strip().startswith(HINTS + QUIET):
                say(line)

        began = time.monotonic()
        try:
            code = launch(
                "flows.reproduce.inside",
                [str(self.folder), str(self.python), *words, "--", *shlex.split(command)],
                hear,
                timeout(stage),
            )
        except KeyboardInterrupt as stop:
            number = getattr(stop, "number", 2)
            raise stopped_at(number, f"{address}: stopped; nothing of the run was changed") from None
        told = json.loads(self.outcome.read_text(encoding="utf-8")) if self.outcome.is_file() else {}
        if told.get("exit_code"):
            kind = TransientError if told["exit_code"] == EXIT_TRANSIENT else GristmillError
            raise kind(told.get("error") or f"{address} failed")
        if code == EXIT_STOPPED:
            raise stopped_at(2, f"{address}: stopped; nothing of the run was changed")
        if code != 0:
            raise GristmillError(crash(address, code, lines).sentence)
        return time.monotonic() - began


@contextmanager
def no_record() -> Iterator[dict[str, str]]:
    """Variables that give MLflow a server that refuses every connection at once."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        yield {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def machine_of(recorded: Recorded) -> dict[str, str]:
    """Variables that make a training like the recorded one: its threads, and the processor if it used no GPU.

    The order of sums depends on the number of threads.
    """
    tags = recorded.tags
    threads = tags.get("gristmill.threads") or tags.get("gristmill.cores")
    device = tags.get("gristmill.timing.device", "")
    return {
        **({"GRISTMILL_WORKERS": threads} if threads and threads.isdecimal() else {}),
        **({"GRISTMILL_DEVICE": device} if device in ("cpu", "mps") else {}),
    }
