"""`gristmill compare` and the page of register, with a real MLflow."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli.main import main
from tests.changes import language_rows, texts, write_corpus, write_scores
from tests.register import empty_database, evaluate, make_project, train

TEST = texts(60)


def score(data: Path, loss: float) -> None:
    """The outputs of clean and evaluate."""
    shutil.rmtree(data / "clean", ignore_errors=True)
    for split, documents in (("train", {"a#1": "one"}), ("validation", {"b#1": "two"}), ("test", TEST)):
        write_corpus(data / "clean" / split, documents)
    evaluate(data, loss)
    metrics = json.loads((data / "evaluation" / "metrics.json").read_text())
    shutil.rmtree(data / "evaluation")
    write_scores(data / "evaluation", "causal-lm", metrics, language_rows(TEST, loss * 0.6931), "d1")
    evaluate(data, loss)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two registered versions of `tiny`; do not modify."""
    from tasks.register.registration import run

    root = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        data = make_project(root)
        (root / "dvc.yaml").write_text("stages: {}\n")
        (root / "mlflow.db").write_bytes(empty_database())
        score(data, 2.5)
        run("tiny")
        train(data, "c0" * 32, seed=1)
        recipe = root / "recipes" / "tiny.yaml"
        recipe.write_text(recipe.read_text().replace("steps: 4", "steps: 5"))
        score(data, 2.25)
        run("tiny")
    return root


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return made


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments])


def test_two_versions_are_compared_and_the_page_is_written(project: Path) -> None:
    done = compare("tiny:1", "tiny@champion")
    assert done.exit_code == 0, done.output
    assert "tiny:1 → tiny:2" in done.output and "better: bits_per_byte" in done.output
    assert "train.steps" in done.output
    assert "page: data/tiny/compare-tiny-1-tiny-2.html" in done.output
    assert "<svg" in (project / "data/tiny/compare-tiny-1-tiny-2.html").read_text()


def test_json_says_the_same_and_writes_a_page_only_where_asked(project: Path, tmp_path: Path) -> None:
    before = set((project / "data/tiny").iterdir())
    page = tmp_path / "page.html"
    done = compare("tiny:1", "tiny:2", "--json", "--html", str(page))
    found = json.loads(done.stdout)
    assert found["scores"]["metrics"][0]["comparison"]["verdict"] == "better"
    assert found["settings"] == [{"key": "train.steps", "old": "4", "new": "5"}]
    test = next(each for each in found["documents"] if each["stage"] == "test")
    assert (test["same"], test["came"]["documents"], test["went"]["documents"]) == (60, 0, 0)
    assert page.is_file() and set((project / "data/tiny").iterdir()) == before


def test_what_is_here_is_compared_with_a_version(project: Path) -> None:
    found = json.loads(compare("tiny:2", "data/tiny", "--json").stdout)
    assert found["same"] is False and found["settings"] == []
    assert found["scores"]["metrics"][0]["comparison"]["verdict"] == "cannot tell"


def test_a_model_and_itself_are_the_same(project: Path) -> None:
    done = compare("tiny:2", "tiny@champion")
    assert done.exit_code == 0 and "tiny:2 and tiny:2 are the same model: nothing differs" in done.output
    assert "page:" not in done.output


def test_outside_of_a_project_nothing_is_made(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = compare("tiny:1", "tiny:2")
    assert (done.exit_code, done.output) == (2, "dvc.yaml: not found; run gristmill in the project's folder\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tiny:7", "tiny", "tiny:7: tiny has no version 7"),
        ("nobody", "tiny", "nobody: MLflow has no such run, model or recipe"),
        ("tiny", "deadbeef01", "deadbeef01: MLflow has no such run"),
        ("data/none", "tiny", "recipes/none.yaml: no such recipe"),
    ],
)
def test_unknown_models_are_one_sentence(project: Path, old: str, new: str, told: str) -> None:
    done = compare(old, new)
    assert done.exit_code == 2 and told in done.output and "Traceback" not in done.output


def test_artifacts_that_are_elsewhere_are_downloaded(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from tasks.changes import record
    from tasks.register.reference import find_reference

    client = MlflowClient()
    reference = find_reference(client, "tiny:1")
    local = record.record_of_run(client, reference.run, "tiny", "tiny:1", tmp_path / "none")
    monkeypatch.setattr(record, "local_folder", lambda uri: None)
    fetched = record.record_of_run(client, reference.run, "tiny", "tiny:1", tmp_path / "new")
    assert sorted(fetched.files) == sorted(local.files) and "documents/test.parquet" in fetched.files
    assert all(path.is_relative_to(tmp_path) for path in fetched.files.values())
    assert all(path.read_bytes() == local.files[name].read_bytes() for name, path in fetched.files.items())


def test_register_keeps_the_page_with_the_version(project: Path) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import load_text

    from tasks.changes.keep import keep_page

    client = MlflowClient()
    old, new = (client.get_model_version("tiny", number) for number in ("1", "2"))
    runs = [client.get_run(str(version.run_id)) for version in (old, new)]
    for _ in range(2):  # again, as after an interruption
        name = keep_page(client, runs[1], new, runs[0], old, "tiny", reason="better: it says so")
    assert name == "compare/against-version-1.html"
    assert "tiny:2: better: it says so" in load_text(f"{runs[1].info.artifact_uri}/{name}")
    assert [item.path for item in client.list_artifacts(runs[1].info.run_id, "compare")] == [name]
