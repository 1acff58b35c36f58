"""Speed and memory of the variants beside the model itself, on this machine: all take turns in one run.

They depend on the machine and its other work, so they are no output of the stage: data/<recipe>/speed.json.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tasks.formats.corpus import CorpusWriter, count_documents, read_batches
from tasks.stage.errors import GristmillError
from tasks.stage.progress import progress
from tasks.stage.run import Job, write_json
from tasks.stage.scratch import scratch

FILE = "speed.json"
DOCUMENTS = 32
"""Documents of a turn, evenly spread over the test split."""
TURNS, FEWER = 5, 2
"""Turns of each model after one that warms up, and where that took all models more than PATIENCE seconds."""
PATIENCE = 60.0


def measure_speed(job: Job, models: Mapping[str, Path]) -> dict[str, Any]:
    """Of each model documents per second, how many times as fast as the first one it is, and its memory in bytes.

    The ratio is the median of those of single turns. Writes all to data/<recipe>/speed.json. Raises GristmillError if a
    model cannot be scored.
    """
    with scratch("measure") as folder, ExitStack() as stack:
        test = _some(job, folder)
        paces = {name: stack.enter_context(_pace(job.recipe, model, test)) for name, model in models.items()}
        memory = {name: _answer(pace, name)["memory"] for name, pace in paces.items()}
        turns: dict[str, list[float]] = {name: [] for name in models}
        left = 1 + TURNS
        with progress("timing", left * len(models), "turns") as shown:
            while left:
                for name, pace in paces.items():
                    answer = _answer(pace, name, ask=True)
                    turns[name].append(answer["seconds"])
                    memory[name] = max(memory[name], answer["memory"])
                    shown.advance()
                left -= 1
                if left == TURNS and sum(own[0] for own in turns.values()) > PATIENCE:
                    left = FEWER
    documents, first = min(DOCUMENTS, count_documents(job.input("clean/test"))), next(iter(models))
    found = {
        name: {
            "documents_per_second": documents / statistics.median(own[1:]),
            "times_as_fast": statistics.median(a / b for a, b in zip(turns[first][1:], own[1:], strict=True)),
            "memory": memory[name],
        }
        for name, own in turns.items()
    }
    write_json(job.folder / FILE, found)
    return found


def _some(job: Job, folder: Path) -> Path:
    """A folder with documents of the test split, beside the base as in data/<recipe>/."""
    import pyarrow as pa

    table = pa.Table.from_batches(list(read_batches(job.input("clean/test"))))
    places = sorted({number * len(table) // DOCUMENTS for number in range(DOCUMENTS)})
    test = folder / "data" / "clean" / "test"
    test.parent.mkdir(parents=True)
    (folder / "data" / "base").symlink_to(job.input("base").resolve())
    with CorpusWriter(test, table.schema) as writer:
        for batch in table.take(places).combine_chunks().to_batches():
            writer.write(batch)
    return test


@contextmanager
def _pace(recipe: str, model: Path, test: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that scores the documents for each line that it reads; see `tasks.evaluate.pace`."""
    command = [sys.executable, "-m", "tasks.evaluate.pace", recipe, str(model), str(test)]
    environment = {**os.environ, "GRISTMILL_PROGRESS": "86400", "GRISTMILL_OUTCOME": ""}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answer(pace: "subprocess.Popen[str]", name: str, ask: bool = False) -> dict[str, float]:
    """The next line of a process; `ask`: after a line to it. Raises GristmillError if it has ended."""
    assert pace.stdin is not None and pace.stdout is not None
    try:
        if ask:
            pace.stdin.write("\n")
            pace.stdin.flush()
        line = pace.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        raise GristmillError(f"the speed of {name} cannot be measured: its process ended with {pace.wait()}")
    return dict(json.loads(line))
