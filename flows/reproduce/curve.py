"""The first steps of a training against the recorded history, to the last digit."""

import csv
from collections.abc import Callable
from pathlib import Path

from flows.reproduce.differ import compare_rows
from flows.reproduce.execute import Bench, machine_of
from flows.reproduce.judge import DIFFERENT, SAME, UNKNOWN, Verdict
from flows.reproduce.store import Damaged, Missing, Store, hash_path
from tasks.register.reproduction import Entry, Recorded
from tasks.stage.errors import GristmillError
from tasks.stage.run import DATA

SWITCH = "GRISTMILL_STOP_AFTER"
CURVE = "history.csv"

Row = dict[str, str]


def recorded_rows(recorded: Recorded, entry: Entry, store: Store, place: Path, steps: int) -> list[Row]:
    """The rows of the recorded history up to a step. Raises GristmillError if there are none, or no such history."""
    out = next((out for out in entry.outs if Path(out.path).name == CURVE), None)
    path = None if out is None else recorded.artifact(out.path)
    if out is None or out.md5 is None:
        raise GristmillError(f"{recorded.name}: its dvc.lock has no history of a training")
    if path is None or hash_path(path) != out.md5:
        path = place / CURVE
        try:
            store.copy(out.md5, path)
        except (Missing, Damaged) as error:
            raise GristmillError(f"{recorded.name}: its {out.path} is gone: {error}") from error
    rows = _read(path)
    found = [row for row in rows if int(row["step"]) <= steps]
    if not found:
        first = rows[0]["step"] if rows else "none"
        raise GristmillError(
            f"--steps {steps}: the first row of the recorded history is of step {first}; name that or more"
        )
    return found


def judge_steps(
    recorded: Recorded, entry: Entry, bench: Bench, rows: list[Row], say: Callable[[str], None]
) -> Verdict:  # fmt: skip
    """Train until the last of these rows, and compare. Raises GristmillError if the training fails."""
    stop = int(rows[-1]["step"])
    runtime = bench.folder / "tasks/stage/runtime.py"
    if not runtime.is_file() or SWITCH not in runtime.read_text(encoding="utf-8"):
        return Verdict("train", UNKNOWN, f"the code of its commit does not know {SWITCH}; leave --steps out")
    folder = bench.folder / DATA / recorded.recipe
    seconds = 0.0
    try:
        seconds = bench.run(entry.command, entry.address, say, **{SWITCH: str(stop)}, **machine_of(recorded))
        paths = [folder / "training" / CURVE]  # the last step of all
    except GristmillError as error:
        paths = sorted((folder / "checkpoints").glob(f"*/{CURVE}"))
        if SWITCH not in str(error) or len(paths) != 1:
            raise
    made = _read(paths[0])
    differences = [told for told, _ in compare_rows(rows, made)]
    verdict = Verdict("train", DIFFERENT if differences else SAME, seconds=seconds)
    verdict.outputs = [{"steps": stop, "rows": len(rows), "same": not differences}]
    told = f"{len(rows)} rows of its history up to step {stop}"
    verdict.sentence = (
        f"{CURVE}: {differences[0]} ({len(differences)} differ)" if differences else f"{told}, to the last digit"
    )
    return verdict


def _read(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise GristmillError(f"{path}: cannot be read: {error}") from error
