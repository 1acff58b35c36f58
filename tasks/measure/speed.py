"""Speed and memory of the variants beside the model itself, on this machine: all take turns in one run.

They depend on the machine and its other work, so they are no output of the stage: data/<recipe>/speed.json.
"""

import statistics
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from tasks.formats.corpus import CorpusWriter, count_documents, read_batches
from tasks.stage.apart import Answering, answering
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
        memory = {name: _turn(pace, name, first=True)["memory"] for name, pace in paces.items()}
        turns: dict[str, list[float]] = {name: [] for name in models}
        left = 1 + TURNS
        with progress("timing", left * len(models), "turns") as shown:
            while left:
                for name, pace in paces.items():
                    answer = _turn(pace, name)
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


def _pace(recipe: str, model: Path, test: Path) -> AbstractContextManager[Answering]:
    """A process that scores the documents for each line that it reads; see `tasks.evaluate.pace`."""
    quiet = {"GRISTMILL_PROGRESS": "86400", "GRISTMILL_OUTCOME": ""}
    return answering("tasks.evaluate.pace", recipe, str(model), str(test), environment=quiet)


def _turn(pace: Answering, name: str, first: bool = False) -> dict[str, float]:
    """What a process says of its next turn, or of itself at `first`. Raises GristmillError if it has ended."""
    try:
        return pace.hear() if first else pace.ask(None)
    except EOFError as error:
        raise GristmillError(f"the speed of {name} cannot be measured: its process {error}") from error
