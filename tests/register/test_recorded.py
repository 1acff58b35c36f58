"""A complete record is detected without MLflow, and so is damage, on a real database and a real server."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow.cli
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from flows.cli.ui import experiment_pages
from tasks.register import champion as questions
from tasks.register.predict import generate
from tasks.register.recorded import files_are_known, whole
from tasks.register.registration import run
from tasks.tracking.dead import place
from tests.register import evaluate, the_model, train
from tests.scratch import ROOT, environment

Damage = Callable[[dict], object]


def sql(*statements: str) -> None:
    with sqlite3.connect("mlflow.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def append(name: str, text: str) -> None:
    Path(name).write_text(Path(name).read_text() + text)


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def gc() -> None:
    uri = "sqlite:///mlflow.db"
    done = CliRunner(env={"MLFLOW_TRACKING_URI": uri}).invoke(mlflow.cli.gc, ["--backend-store-uri", uri])
    assert done.exit_code == 0, done.output


THROUGH_MLFLOW: dict[str, Damage] = {
    "another run killed": lambda found: MlflowClient().create_run(
        found["experiment_id"], tags={"gristmill.identity": "9" * 64, "gristmill.place": place()}
    ),
    "experiment deleted": lambda found: MlflowClient().delete_experiment(found["experiment_id"]),
    "run deleted": lambda found: MlflowClient().delete_run(found["run_id"]),
    "run not finished": lambda found: MlflowClient().update_run(found["run_id"], "RUNNING"),
    "tag deleted": lambda found: MlflowClient().delete_tag(found["run_id"], "gristmill.signature"),
    "tag changed": lambda found: MlflowClient().set_tag(found["run_id"], "gristmill.model_sha256", "0"),
    "score changed": lambda found: MlflowClient().log_metric(found["run_id"], "test_bits_per_byte", 9.0, step=9),
    "alias of an unknown version": lambda found: MlflowClient().delete_registered_model_tag(
        "tiny", "gristmill.champion"
    ),
    "version deleted": lambda found: MlflowClient().delete_model_version("tiny", "1"),
    "registered model deleted": lambda found: MlflowClient().delete_registered_model("tiny"),
    "logged model deleted": lambda found: MlflowClient().delete_logged_model(the_model().model_id),
    "experiment renamed": lambda found: MlflowClient().rename_experiment(found["experiment_id"], "tiny-of-old"),
}
IN_FILES: dict[str, Damage] = {
    "run deleted for good": lambda found: (MlflowClient().delete_run(found["run_id"]), gc()),
    "all deleted for good": lambda found: (
        MlflowClient().delete_logged_model(the_model().model_id),
        MlflowClient().delete_experiment(found["experiment_id"]),
        gc(),
    ),
    "artifacts deleted": lambda found: shutil.rmtree("mlruns"),
    "weights deleted": lambda found: next(Path("mlruns").rglob("*.safetensors")).unlink(),
    "other files deleted": lambda found: shutil.rmtree(next(Path("mlruns").rglob("evaluation"))),
    "a byte of the weights changed": lambda found: flip(next(Path("mlruns").rglob("*.safetensors"))),
    "tokenizer deleted": lambda found: next(Path("mlruns").rglob("artifacts/model/tokenizer.json")).unlink(),
    "code cut off": lambda found: next(Path("mlruns").rglob("served.py")).write_text("import os"),
    "card deleted": lambda found: next(Path("mlruns").glob(f"*/{found['run_id']}/artifacts/README.md")).unlink(),
    "points deleted": lambda found: sql("DELETE FROM metrics WHERE key = 'loss' AND step = 2"),
    "parameter deleted": lambda found: sql("DELETE FROM params WHERE key = 'train.seed'"),
    "data set deleted": lambda found: sql("DELETE FROM inputs WHERE source_type = 'DATASET'"),
    "model not ready": lambda found: sql("UPDATE logged_models SET status = 1"),
}


def seen_and_made_whole(damage: Damage) -> dict:
    first = run("tiny")
    assert whole("tiny") == {**first, "new": False}
    damage(first)
    assert whole("tiny") is None
    again = run("tiny")
    assert whole("tiny") == {**again, "new": False}
    return again


@pytest.mark.parametrize("damage", [*THROUGH_MLFLOW, *IN_FILES])
def test_a_damaged_record_is_seen_and_made_whole(project: Path, damage: str) -> None:
    again = seen_and_made_whole((THROUGH_MLFLOW | IN_FILES)[damage])
    runs = MlflowClient().search_runs([again["experiment_id"]])
    assert [run.info.run_id for run in runs if run.info.status != "KILLED"] == [again["run_id"]]
    assert questions.champion("tiny")["version"] == again["version"]
    assert again["run_id"] == MlflowClient().get_model_version_by_alias("tiny", "champion").run_id
    assert [version.aliases for version in MlflowClient().search_model_versions("name = 'tiny'")].count(
        ["champion"]
    ) <= 1
    assert generate("tiny", "ROMEO:", max_new_tokens=3)
    assert whole("tiny") is not None  # a model that was loaded is not damaged
    assert sum(path.name == "evaluation" for path in Path("mlruns").rglob("*")) > 0


def test_a_renamed_experiment_stays_the_one_of_its_recipe(project: Path) -> None:
    found = run("tiny")
    MlflowClient().rename_experiment(found["experiment_id"], "plays")
    assert run("tiny") == {**found, "new": False}
    train(project / "data/tiny", "c0" * 32, seed=1)
    assert run("tiny")["experiment_id"] == found["experiment_id"]
    assert len(questions.runs("tiny")) == 2 and MlflowClient().get_experiment_by_name("tiny") is None


def test_a_deleted_database_is_seen_and_made_again(project: Path) -> None:
    register = [sys.executable, "-m", "tasks.register", "tiny"]  # MLflow keeps a deleted database open
    subprocess.run(register, env=environment(ROOT), check=True)
    assert whole("tiny") is not None
    Path("mlflow.db").unlink()
    assert whole("tiny") is None
    subprocess.run(register, env=environment(ROOT), check=True)
    assert whole("tiny") is not None


@pytest.mark.parametrize("damage", THROUGH_MLFLOW)
def test_so_it_is_behind_a_server(on_server: Path, damage: str) -> None:
    seen_and_made_whole(THROUGH_MLFLOW[damage])


def test_what_is_kept_of_other_seeds_is_not_looked_at_behind_a_server(on_server: Path) -> None:
    found = run("tiny")
    client = MlflowClient()
    client.set_experiment_tag(found["experiment_id"], "gristmill.noise", "{}")
    client.create_run(found["experiment_id"], tags={"gristmill.noise": "5e" * 32, "gristmill.seed": "8"})
    assert whole("tiny") == {**found, "new": False}


def test_make_ui_names_the_pages_of_the_runs(on_server: Path, server: str) -> None:
    registration = run("tiny")
    page = f"{server}/#/experiments/{registration['experiment_id']}/runs"
    opened = f"{page}?workflowType=machine_learning&viewStateShareKey=gristmill"
    assert experiment_pages(server)["tiny"] == opened
    assert registration["url"] == f"{page}/{registration['run_id']}?workflowType=machine_learning"


@pytest.mark.parametrize("lost", ["evaluation", "models/*/artifacts/artifacts/model/tokenizer.json", "*.safetensors"])
def test_so_are_files_lost_behind_a_server(on_server: Path, tmp_path_factory, lost: str) -> None:
    def damage(found: dict) -> None:
        uri = MlflowClient().get_run(found["run_id"]).info.artifact_uri
        kept = next(tmp_path_factory.getbasetemp().glob("server*/kept")) / uri.partition(":/")[2].split("/")[0]
        path = next(kept.rglob(lost))
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    seen_and_made_whole(damage)
    assert generate("tiny", "ROMEO:", max_new_tokens=3)


def test_a_server_that_is_away_or_wants_a_password_is_left_to_mlflow(on_server: Path, monkeypatch) -> None:
    run("tiny")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert whole("tiny") is None


def test_another_champion_is_seen(project: Path) -> None:
    run("tiny")
    train(project / "data/tiny", "c0" * 32, seed=1)
    evaluate(project / "data/tiny", 2.4)
    second = run("tiny")
    assert (whole("tiny") or {})["champion"] == second["version"] == 2
    questions.promote("tiny", 1)
    assert whole("tiny") is None
    assert run("tiny")["champion"] == 1
    assert (whole("tiny") or {})["champion"] == 1


def test_what_belongs_to_others_is_not_looked_at(project: Path) -> None:
    run("tiny")
    client = MlflowClient()
    other = client.create_experiment("other")
    client.log_metric(client.create_run(other).info.run_id, "loss", 1.0)
    client.create_registered_model("other")
    assert whole("tiny") is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda: append("recipes/tiny.yaml", "\nregister: {beat: []}\n"),
        lambda: append("dvc.lock", "\n"),
        lambda: Path("data/tiny/registration.json").unlink(),
        lambda: Path("data/tiny/registration.json").write_text("{}"),
        lambda: Path("data/tiny/recorded.json").unlink(),
        lambda: Path("data/tiny/recorded.json").write_text("[1"),
        lambda: next(Path("data/tiny").glob("checkpoints/*/timing.json")).write_text("{}"),
        lambda: next(Path("data/tiny").glob("checkpoints/*")).joinpath("record.jsonl").write_text(
            json.dumps({"step": 9, "time": 1.0, "metrics": {"loss": 4.0}}) + "\n"
        ),
    ],
)  # fmt: skip
def test_a_file_that_the_register_reads_is_not_as_it_was(project: Path, change: Callable[[], object]) -> None:
    run("tiny")
    assert files_are_known("tiny")
    change()
    assert not files_are_known("tiny") and whole("tiny") is None


def test_another_package_code_or_address_is_seen(project: Path, tmp_path: Path, monkeypatch) -> None:
    run("tiny")
    with monkeypatch.context() as patch:
        Path(tmp_path / "more" / "site-packages" / "torch-9.9.dist-info").mkdir(parents=True)
        patch.syspath_prepend(tmp_path / "more" / "site-packages")
        assert whole("tiny") is None
    with monkeypatch.context() as patch:
        shutil.copytree(ROOT / "tasks", tmp_path / "code" / "tasks")
        patch.setattr("tasks.register.recorded.ROOT", tmp_path / "code")
        assert whole("tiny") is not None
        (tmp_path / "code/tasks/register/card.py").write_text("pass")
        assert whole("tiny") is None
    for name, value in (
        ("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db"),
        ("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/other.db"),
        ("MLFLOW_WORKSPACE", "mine"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert whole("tiny") is None
    assert whole("tiny") is not None


@pytest.mark.parametrize(
    "change", ["UPDATE alembic_version SET version_num = 'abc'", "DROP TABLE registered_model_aliases"]
)
def test_a_database_of_another_mlflow_or_an_unreadable_one_is_left_to_mlflow(project: Path, change: str) -> None:
    run("tiny")
    sql(change)
    assert whole("tiny") is None


def test_mlflow_is_not_imported(project: Path) -> None:
    run("tiny")
    program = (
        "import sys; from tasks.register.recorded import whole; assert whole('tiny');"
        "print([name for name in ('mlflow', 'sqlalchemy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(ROOT), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
