"""What the registered model answers is what the evaluation scored: from a file to the champion, through every stage."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.contract.corpus import read_batches
from tasks.register.predict import Champion
from tasks.register.registration import run as register
from tests.families import tiny_recipe, write_source
from tests.register import empty_database
from tests.scratch import run_stages

PREDICTIONS = {"translation": "prediction", "summarization": "prediction", "classification": "predicted"}


@pytest.mark.parametrize(("task", "like"), [*((task, "") for task in PREDICTIONS), ("summarization", "causal-lm")])
def test_the_champion_repeats_what_the_evaluation_scored(
    task: str, like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRISTMILL_DEVICE", "cpu")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlflow.db").write_bytes(empty_database())
    write_source(Path("texts/all.jsonl"))
    Path("recipes").mkdir()
    Path("recipes/tiny.yaml").write_text(json.dumps(tiny_recipe(task, "texts/all.jsonl", like=like)))
    run_stages("tiny")
    register("tiny")
    scored = pq.read_table("data/tiny/evaluation/scores.parquet").column(PREDICTIONS[task]).to_pylist()
    texts = [text for batch in read_batches(Path("data/tiny/clean/test"), ["text"]) for text in batch[0].to_pylist()]
    answers = Champion("tiny").predict(texts, {})
    assert [answer["label"] if isinstance(answer, dict) else answer for answer in answers] == scored
    assert len(scored) == len(texts) > 10
