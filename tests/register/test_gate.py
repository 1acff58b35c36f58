"""What the gate does where the champion cannot be compared with, and when it does not decide again."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from tasks.register.history import history
from tasks.register.registration import run
from tasks.tracking.embedded import local_folder
from tests.register import evaluate, train

BETTER, BEST, OTHER = "ab" * 32, "de" * 32, "c0" * 32


@pytest.fixture
def data(project: Path) -> Path:
    """`data/tiny` after version 1, the champion; the outputs of a better training lie there."""
    run("tiny")
    train(project / "data" / "tiny", BETTER, seed=1)
    evaluate(project / "data" / "tiny", 2.4)
    return project / "data" / "tiny"


def of_champion(name: str) -> Path:
    """A folder among the artifacts of the champion's run."""
    client = MlflowClient()
    folder = local_folder(client.get_run(client.get_model_version("tiny", "1").run_id or "").info.artifact_uri or "")
    assert folder is not None
    return folder / name


def write_section(section: str) -> None:
    """Give the recipe a section `register`."""
    path = Path("recipes/tiny.yaml")
    path.write_text(f"{path.read_text()}register: {section}\n")


def test_a_champion_whose_evaluation_is_lost_is_scored_again_or_stays(data: Path) -> None:
    shutil.rmtree(of_champion("evaluation"))
    found = run("tiny")  # this project has no test text to score it on
    assert (found["alias"], found["champion"], found["verdict"]) == ("challenger", 1, None)
    assert found["reason"].startswith("cannot tell: version 1 cannot be compared with: data/tiny/clean/test: no part-")
    assert found["reason"].endswith("; it stays champion until `gristmill promote`")
    assert run("tiny") == {**found, "new": False}


def test_a_champion_without_model_and_scores_stays(data: Path) -> None:
    shutil.rmtree(of_champion("evaluation"))
    client = MlflowClient()
    folder = local_folder(client.get_model_version_download_uri("tiny", "1"))
    assert folder is not None
    shutil.rmtree(folder)
    assert "version 1 cannot be compared with: its model is gone from MLflow" in run("tiny")["reason"]


def test_damaged_scores_and_other_text_under_the_same_ids_are_told(data: Path) -> None:
    path = of_champion("evaluation/scores.parquet")
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "bytes", [[7] * len(table)]), path)
    assert "document d0 has 7 bytes, but 100 in " in run("tiny")["reason"]
    path.write_bytes(b"PAR1")
    assert "not a valid Parquet file" in run("tiny")["reason"]


def test_a_run_of_the_champion_that_was_deleted_keeps_it_champion(data: Path) -> None:
    client = MlflowClient()
    client.delete_run(client.get_model_version("tiny", "1").run_id or "")
    found = run("tiny")
    assert found["champion"] == 1 and "cannot be compared with" in found["reason"]


def test_a_bar_stops_a_version_before_it_meets_the_champion(data: Path) -> None:
    write_section("{at_most: 2.0}")
    found = run("tiny")
    assert (found["verdict"], found["reason"]) == (None, "bits_per_byte 2.4000 is more than register.at_most 2")
    assert MlflowClient().list_artifacts(found["run_id"], "gate") == []


def test_a_decision_is_made_once_and_again_when_the_section_changes(data: Path) -> None:
    evaluate(data, 2.6)
    first = run("tiny")
    assert run("tiny") == {**first, "new": False} and first["reason"].endswith("decision 1 on this test text")
    write_section("{margin: 0.5, on_tie: newest}")
    second = run("tiny")
    assert second["alias"] == "champion" and second["reason"].endswith("decision 2 on this test text")
    decided = [event.event for event in history("tiny").ledger.events if event.verdict is not None]
    assert decided == ["refused", "promoted"]


def test_a_test_text_that_decided_too_often_asks_for_a_new_one(data: Path) -> None:
    write_section("{max_decisions: 1}")
    assert run("tiny")["warnings"] == []
    train(data, BEST, seed=2)
    evaluate(data, 2.3)
    (warning,) = run("tiny")["warnings"]
    assert warning.startswith(
        "this test text has decided 2 times, more than register.max_decisions 1: choose a new one"
    )


def test_a_verdict_says_that_it_does_not_count_the_luck_of_seeds_until_that_is_known(data: Path) -> None:
    from tasks.register.noise import Spread, keep_spread

    assert "not counting the luck of seeds (`gristmill noise tiny` measures it)" in run("tiny")["reason"]
    keep_spread(MlflowClient(), "tiny", Spread("bits_per_byte", 2.5, 0.2, 5, "", "", "2026-11-27T12:00:00Z", {}))
    train(data, OTHER, seed=3)
    evaluate(data, 2.3)
    found = run("tiny")
    assert found["verdict"]["verdict"] == "cannot tell" and "with the spread of 5 seeds" in found["reason"]
    assert "not counting" not in found["reason"]


def test_the_page_is_kept_even_where_the_scores_do_not_compare(data: Path) -> None:
    (of_champion("evaluation") / "metrics.json").write_text(json.dumps({"bits_per_byte": 2.5, "signature": "task:x"}))
    found = run("tiny")
    assert found["verdict"] is None
    assert [item.path for item in MlflowClient().list_artifacts(found["run_id"], "compare")] == [
        "compare/against-version-1.html"
    ]
