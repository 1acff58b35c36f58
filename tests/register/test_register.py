import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from tasks.register import champion as questions
from tasks.register.predict import generate
from tasks.register.registration import run
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tasks.tracking.client import PLACE
from tests.register import IDENTITY, SIGNATURE, evaluate, the_model, the_run, train
from tests.scratch import ROOT, environment

OTHER = "c0" * 32


def content() -> dict:
    """The contents of a record without ids, times and paths."""
    client, found = MlflowClient(), the_run()
    artifacts = Path(download_artifacts(run_id=found.info.run_id))
    return {
        "parameters": found.data.params,
        "tags": {key: value for key, value in found.data.tags.items() if key.startswith("gristmill.") and key != PLACE},
        "curves": {
            key: sorted((point.step, point.value) for point in client.get_metric_history(found.info.run_id, key))
            for key in found.data.metrics
        },
        "data": sorted((item.dataset.name, item.dataset.digest) for item in found.inputs.dataset_inputs),
        "artifacts": sorted(str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()),
        "status": found.info.status,
    }


def test_the_record_holds_all_that_the_stages_left(project):
    registration = run("tiny")
    record = content()
    assert record["status"] == "FINISHED"
    assert record["parameters"]["train.learning_rate"] == "0.003"
    assert record["parameters"]["train.seed"] == "7"  # a default that the recipe does not set
    assert record["parameters"]["ingest.licence"] == "MIT"
    assert "evaluate.window" not in record["parameters"]
    assert record["curves"]["loss"] == [(1, 5.5), (2, 5.25), (3, 5.125), (4, 5.0)]
    assert record["curves"]["validation_loss"] == [(2, 5.3), (4, 5.1)]
    assert record["curves"]["test_bits_per_byte"] == [(4, 2.5)]
    assert record["curves"]["test_bits_per_byte_xz"] == [(4, 3.0)]
    assert record["curves"]["training_seconds"] == [(4, 12.5)]
    assert record["curves"]["training_checkpoint_waited"] == [(4, 0.25)]
    assert record["tags"]["gristmill.continued_from"] == '{"identity": "5e", "step": 2}'
    assert record["tags"]["gristmill.signature"] == SIGNATURE
    assert record["tags"]["gristmill.identity"] == IDENTITY
    assert ("data/tiny/tokens/train", "7" * 32 + ".dir") in record["data"]
    wanted = {
        "README.md", "dvc.lock", "recipes/tiny.yaml", "reports/train.json", "evaluation/curves.png",
        "evaluation/samples.json", "validation/docs/index.html", "environment/requirements.txt",
    }  # fmt: skip
    assert wanted <= set(record["artifacts"])
    assert registration["run_id"] == the_run().info.run_id
    (view,) = [
        json.loads(value)["selectedColumns"]
        for key, value in MlflowClient().get_experiment(registration["experiment_id"]).tags.items()
        if key == "mlflow.sharedViewState.gristmill"
    ]
    assert view[0] == "metrics.`test_bits_per_byte`" and "metrics.`test_bits_per_byte_xz`" in view
    curves = [
        "grad_norm",
        "learning_rate",
        "loss",
    ]  # MLflow shows charts by name: no single point comes before the loss
    assert sorted(key for key in record["curves"] if key <= "loss") == [c for c in curves if c in record["curves"]]
    assert json.loads(Path("data/tiny/registration.json").read_text()) == registration


def test_a_second_time_changes_nothing(project):
    first = run("tiny")
    record, version = content(), MlflowClient().get_model_version("tiny", "1")
    second = run("tiny")
    assert content() == record
    assert second == {**first, "new": False}
    (again,) = MlflowClient().search_model_versions("name = 'tiny'")
    assert again.last_updated_timestamp == version.last_updated_timestamp


def test_a_record_that_was_deleted_is_made_again_from_the_files(project, tmp_path, monkeypatch):
    from tasks.tracking.record import LiveRecord

    live = LiveRecord.open("tiny", IDENTITY, {"train": {"steps": 4}})
    for step in (1, 2):
        live.log(step, {"loss": 6.0 - step, "tokens_per_second": 10.0 * step})
    live.close()
    run("tiny")
    before = content()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(project, elsewhere, ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    monkeypatch.chdir(elsewhere)
    run("tiny")
    after = content()
    system = {key for key in before["curves"] if key.startswith("system/")}
    assert after == {**before, "curves": {key: before["curves"][key] for key in before["curves"].keys() - system}}
    assert after["curves"]["tokens_per_second"] == [(1, 10.0), (2, 20.0)]
    assert after["curves"]["loss"] == [(1, 5.0), (2, 4.0), (3, 5.125), (4, 5.0)]


def test_better_becomes_champion_and_worse_challenger(project):
    data = project / "data" / "tiny"
    run("tiny")
    train(data, OTHER, seed=1)
    evaluate(data, 2.6)
    worse = run("tiny")
    assert (worse["version"], worse["alias"], worse["champion"]) == (2, "challenger", 1)
    train(data, "ab" * 32, seed=2)
    evaluate(data, 2.4)
    better = run("tiny")
    assert (better["version"], better["alias"], better["champion"]) == (3, "champion", 3)
    aliases = MlflowClient().get_registered_model("tiny").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 3, "challenger": 2}
    assert "2.4000 against 2.5000 of version 1" in MlflowClient().get_model_version("tiny", "3").description
    assert MlflowClient().get_model_version("tiny", "1").description.startswith("was champion until version 3")
    rows = questions.runs("tiny")
    assert [row["value"] for row in rows] == [2.4, 2.5, 2.6]
    assert [row["aliases"] for row in rows] == [["champion"], [], ["challenger"]]
    assert rows[0]["parameters"] == 4321
    assert questions.champion("tiny")["version"] == 3


def test_a_champion_made_by_hand_gives_way_to_a_new_version_alone(project):
    data = project / "data" / "tiny"
    run("tiny")
    train(data, OTHER, seed=1)
    evaluate(data, 2.6)
    run("tiny")
    assert questions.promote("tiny", 2) == "version 2 of tiny is now champion; version 1 was before"
    assert questions.promote("tiny", 2) == "version 2 of tiny is already champion"
    promoted = questions.champion("tiny")
    assert (promoted["version"], promoted["reason"]) == (2, "made champion by hand")
    assert run("tiny")["alias"] == "champion"
    aliases = MlflowClient().get_registered_model("tiny").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 2}
    train(data, IDENTITY)
    evaluate(data, 2.5)
    old = run("tiny")
    assert (old["version"], old["alias"], old["champion"]) == (1, "challenger", 2)
    assert old["reason"] == "version 2 was made champion by hand, after this one"
    train(data, "ab" * 32, seed=2)
    evaluate(data, 2.4)
    assert (run("tiny")["version"], questions.champion("tiny")["version"]) == (3, 3)
    assert "gristmill.promoted_by_hand" not in MlflowClient().get_model_version("tiny", "2").tags
    with pytest.raises(GristmillError, match=r"tiny has no version 9 \(available: 1, 2, 3\)"):
        questions.promote("tiny", 9)


def test_where_nobody_is_champion_nobody_is_said_to_be(project):
    recipe = Path("recipes/tiny.yaml")
    recipe.write_text(recipe.read_text() + "\nregister: {at_most: 1.0}\n")
    registration = run("tiny")
    assert (registration["alias"], registration["champion"]) == ("challenger", None)
    assert questions.champion("tiny") is None


def test_another_evaluation_of_the_same_model_makes_no_version(project):
    run("tiny")
    evaluate(project / "data" / "tiny", 2.2, "task:causal-lm|window:32")
    again = run("tiny")
    assert (again["version"], again["alias"], again["value"]) == (1, "champion", 2.2)
    assert MlflowClient().get_model_version("tiny", "1").tags["gristmill.value"] == "2.2"
    assert the_run().data.metrics["test_bits_per_byte"] == 2.2


def test_the_champion_loads_and_writes_without_the_project(project, tmp_path):
    run("tiny")
    code = """
import mlflow, sys
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny@champion")
assert "tasks" not in sys.modules
one = model.predict(["ROMEO:"], params={"max_new_tokens": 40, "seed": 3})
two = model.predict(["ROMEO:", "x"], params={"max_new_tokens": 40, "seed": 3})
assert one == two[:1] and len(one[0]) > 20 and one[0].startswith("ROMEO:"), one
assert two[0] != model.predict(["ROMEO:"], params={"max_new_tokens": 40, "seed": 4})[0]
assert model.predict(["a"], params={"temperature": 0.0}) == model.predict(["a"], params={"temperature": 0.0, "seed": 8})
folder = mlflow.artifacts.download_artifacts("models:/tiny@champion") + "/artifacts/model"
from transformers import AutoModelForCausalLM, AutoTokenizer
assert AutoModelForCausalLM.from_pretrained(folder).config.hidden_size == 8
assert AutoTokenizer.from_pretrained(folder).eos_token == "<|endoftext|>"
card = open(folder + "/README.md").read()
assert card.startswith("---\\nlicense: mit") and "| bits_per_byte | 2.5000 |" in card and "7" * 32 in card, card
"""
    away = tmp_path / "away"
    away.mkdir()
    env = environment(ROOT)
    del env["PYTHONPATH"]
    subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{project}/mlflow.db"], cwd=away, env=env, check=True, timeout=120
    )


def test_requirements_are_the_installed_versions(project):
    import torch

    run("tiny")
    lines = Path(download_artifacts("models:/tiny@champion"), "requirements.txt").read_text().split()
    assert f"torch=={torch.__version__.partition('+')[0]}" in lines


def test_no_absolute_path_under_data(project):
    run("tiny")
    for path in (project / "data").rglob("*"):
        assert path.is_dir() or str(project).encode() not in path.read_bytes(), path


def test_a_crash_while_storing_the_model_is_mended_by_the_next_run(project, monkeypatch):
    from tasks.register import package

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(package, "_save", crash)
        with pytest.raises(KeyboardInterrupt):
            run("tiny")
    assert run("tiny")["version"] == 1
    assert str(the_model().status) == "READY"


def test_a_server_that_is_away_is_one_sentence_that_says_what_to_run(project, tmp_path):
    outcome = tmp_path / "outcome.json"
    env = environment(ROOT, MLFLOW_TRACKING_URI="http://127.0.0.1:9", GRISTMILL_OUTCOME=str(outcome))
    done = subprocess.run(
        [sys.executable, "-m", "tasks.register", "tiny"], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == TransientError.exit_code
    assert done.stderr == ""  # the flow tells it
    told = json.loads(outcome.read_text())["error"]
    assert len(told.splitlines()) == 1
    assert "127.0.0.1:9" in told and "gristmill run tiny" in told


def test_no_champion_yet_says_what_to_run(project):
    assert questions.champion("tiny") is None
    with pytest.raises(GristmillError, match="tiny has no champion yet; run `gristmill run tiny`"):
        generate("tiny", "ROMEO:")


def test_the_champion_generates_the_same_text_for_the_same_seed(project):
    run("tiny")
    text = generate("tiny", "ROMEO:", max_new_tokens=30)
    assert text == generate("tiny", "ROMEO:", max_new_tokens=30)
    assert len(text) > len("ROMEO:")


def test_a_gate_that_does_not_fit_the_task_is_told_before_anything_is_recorded(project):
    recipe = Path("recipes/tiny.yaml")
    recipe.write_text(recipe.read_text() + "\nregister: {at_least: 1.0, beat: [copy]}\n")
    with pytest.raises(RecipeError) as told:
        run("tiny")
    assert str(told.value).splitlines() == [
        "recipes/tiny.yaml: register.at_least: lower bits_per_byte is better; use at_most",
        "recipes/tiny.yaml: register.beat: no baseline 'copy' for bits_per_byte (available: unigram, xz, base)",
    ]
    assert MlflowClient().get_experiment_by_name("tiny") is None


def test_a_missing_stage_is_named(project):
    (project / "data" / "tiny" / "evaluation" / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"evaluation/metrics\.json: missing"):
        run("tiny")
