"""What names a model on the command line, and what every other text gets."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.register.reference import find_reference
from tasks.register.registration import run
from tasks.stage.errors import GristmillError
from tests.register import evaluate, train

BETTER = "ab" * 32


@pytest.fixture
def client(project: Path) -> MlflowClient:
    """The record after version 1, the challenger before version 2 became champion."""
    data = project / "data" / "tiny"
    run("tiny")
    train(data, BETTER, seed=1)
    evaluate(data, 2.4)
    run("tiny")
    return MlflowClient()


def found(client: MlflowClient, text: str) -> tuple[str, str, str]:
    reference = find_reference(client, text)
    assert reference.version is not None and reference.version.run_id == reference.run.info.run_id
    return reference.name, reference.recipe, reference.run.data.tags["gristmill.identity"]


@pytest.mark.parametrize("text", ["tiny", "tiny@champion", "tiny:2"])
def test_recipe_alias_and_version_name_a_model(client: MlflowClient, text: str) -> None:
    assert found(client, text) == ("tiny:2", "tiny", BETTER)


def test_a_run_is_named_by_its_id_its_beginning_and_its_name(client: MlflowClient) -> None:
    version = client.get_model_version("tiny", "1")
    assert version.run_id is not None
    name = client.get_run(version.run_id).info.run_name
    for text in (version.run_id, version.run_id[:8], str(name)):
        assert found(client, text)[0] == "tiny:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tiny:9", r"tiny:9: tiny has no version 9 \(available: 1, 2\)"),
        ("tiny:", r"tiny has no version \(empty\)"),
        ("tiny:-1", "tiny has no version -1"),
        ("tiny@boss", r"no version of tiny has the alias boss \(available: champion\)"),
        ("tinny:1", "MLflow has no registered model 'tinny'; expected .*; did you mean tiny"),
        ("feedbeef", "MLflow has no such run, model or recipe; expected RECIPE"),
        ("it's", "MLflow has no such run, model or recipe"),
    ],
)
def test_an_unknown_name_gets_one_sentence(client: MlflowClient, text: str, sentence: str) -> None:
    with pytest.raises(GristmillError, match=sentence):
        find_reference(client, text)


def test_a_run_of_somebody_else_and_a_deleted_run_are_told(client: MlflowClient) -> None:
    other = client.create_run(client.create_experiment("other"), run_name="theirs")
    with pytest.raises(GristmillError, match="theirs: not a model of Gristmill"):
        find_reference(client, other.info.run_id)
    assert client.get_model_version("tiny", "1").run_id is not None
    client.delete_run(client.get_model_version("tiny", "1").run_id or "")
    with pytest.raises(GristmillError, match="tiny:1: its run was deleted in MLflow"):
        find_reference(client, "tiny:1")


def test_two_runs_of_one_name_are_not_guessed_between(client: MlflowClient) -> None:
    twin = client.create_run(client.create_experiment("other"), run_name="twins")
    client.create_run(twin.info.experiment_id, run_name="twins")
    with pytest.raises(GristmillError, match=r"twins: several runs are meant \(.+, .+\); write one of these ids"):
        find_reference(client, "twins")
