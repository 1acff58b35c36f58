"""`dvc exp` works here as DVC's users know it: `-S` on a recipe's file, in a copy of the project, queued, applied."""

import csv
import io
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.register import empty_database
from tests.scratch import environment


def call(folder: Path, *arguments: str, code: int = 0) -> str:
    """What a command in the toy project prints, with this exit code; its programs come from itself."""
    done = subprocess.run(arguments, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if code else "")


def experiments(folder: Path) -> dict[str, dict[str, str]]:
    """Name → its row of `dvc exp show`."""
    said = call(folder, "dvc", "exp", "show", "--csv")
    return {row["Experiment"]: row for row in csv.DictReader(io.StringIO(said)) if row["typ"].startswith("branch")}


TRAINS = """
import os
from pathlib import Path
from tasks.tracking.client import connect, find_or_create_run

run = find_or_create_run(connect(), "toy", os.environ["DVC_EXP_NAME"])
print(Path.cwd())
"""


@pytest.fixture
def tracked(toy: Path) -> Path:
    """A toy project in git, whose stage `second` records a run as a training does."""
    (toy / "trains.py").write_text(TRAINS)
    (toy / "behave/second").write_text(f"sh {sys.executable} trains.py")
    (toy / ".gitignore").write_text("/data/*\n/mlflow.db*\n/mlruns/\n__pycache__/\nattempts.txt\n.dvc/site/\n")
    (toy / "mlflow.db").write_bytes(empty_database())
    call(toy, "git", "add", "-A")
    call(toy, "git", "-c", "user.name=Toy", "-c", "user.email=toy@example.org", "commit", "-qm", "toy")
    return toy


def runs(folder: Path) -> dict[str, str]:
    """Identity → the folder of its artifacts, of the runs in the project's record."""
    ask = "SELECT value, artifact_uri FROM runs JOIN tags USING (run_uuid) WHERE key = 'gristmill.identity'"
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return dict(connection.execute(ask).fetchall())


def test_an_experiment_in_a_copy_leaves_the_project_alone_and_is_in_its_record(tracked: Path) -> None:
    said = call(
        tracked, "dvc", "exp", "run", "--temp", "-n", "other", "-S", "recipes/toy.yaml:second.text=new", "second@toy"
    )
    assert f"{tracked}/.dvc/tmp/exps/standalone/" in said
    assert Path("recipes/toy.yaml").read_text() == "first: {text: one}\nsecond: {text: two}\n"
    assert not Path("data/toy").exists()
    assert call(tracked, "git", "status", "--short") == ""
    assert list(runs(tracked)) == ["other"]
    assert runs(tracked)["other"].removeprefix("file://").startswith(f"{tracked}/mlruns/toy/")
    said = call(tracked, "dvc", "exp", "apply", "other", code=255)  # the recipe `child` has never run here
    assert said.partition("Checkout failed for following targets:")[2].count("data/child/") == 4
    assert Path("data/toy/second/text.txt").read_text() == "one new"
    assert call(tracked, "dvc", "status", "second@toy").strip() == "Data and pipelines are up to date."


@pytest.mark.slow  # DVC waits for its queue: a minute
def test_queued_experiments_run_together_and_are_shown(tracked: Path) -> None:
    call(tracked, "dvc", "exp", "run", "--queue", "-S", "recipes/toy.yaml:second.text=a,b", "second@toy")
    call(tracked, "dvc", "exp", "run", "--run-all", "--jobs", "1")
    found = experiments(tracked)
    assert sorted(row["recipes/toy.yaml:second.text"] for row in found.values()) == ["a", "b"]
    assert {row["bits_per_byte"] for row in found.values()} == {"1.5"}
    assert set(runs(tracked)) == set(found)
    assert not Path("data/toy").exists()
