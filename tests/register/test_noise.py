"""Models of other seeds in MLflow, and the spread of their scores."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.register import champion as questions
from tasks.register.noise import (
    NOISE,
    SEED,
    Seed,
    Spread,
    Trained,
    find_own_run,
    keep_spread,
    known_seeds,
    read_noise,
    read_spread,
    record_seed,
)
from tasks.register.recorded import whole
from tasks.register.registration import run
from tasks.stage.errors import GristmillError
from tasks.tracking.client import connect
from tests.register import IDENTITY, SIGNATURE, write_json

VALUES = [2.5, 2.45, 2.61]


def of_seed(seed: int, value: float) -> Trained:
    """What the stage train and a rescoring leave in the workspace of a seed."""
    root = Path(f"seed-{seed}")
    shutil.copytree("data/tiny", root / "data")
    report = json.loads((root / "data/training/report.json").read_text())
    report["details"]["identity"] = identity = f"{seed:02}" * 32
    write_json(root / "data/training/report.json", report)
    journal = root / "data/checkpoints" / identity / "record.jsonl"
    write_json(journal, {"step": 2, "time": 1e9 + seed, "metrics": {"loss": 5.0 + seed}})
    counts = {"tokens": 40, "bytes": 111, "documents": 2}
    scores = {"bits_per_byte": value, "perplexity": 2 * value, "loss": value + 3, **counts, "signature": SIGNATURE}
    write_json(root / "scores/metrics.json", scores)
    (root / "scores/scores.parquet").write_bytes(b"rows")
    return Trained("tiny", "causal-lm", seed, root / "data", root / "scores", Path("recipes/tiny.yaml"))


def known(identity: str = IDENTITY, signature: str = SIGNATURE) -> dict[int, Seed]:
    return known_seeds(connect(), "tiny", "causal-lm", identity, signature)


def spread_of(values: list[float]) -> Spread:
    seeds = [Seed(n, {"bits_per_byte": value, "loss": value**2}, "r") for n, value in enumerate(values)]
    return Spread.of("bits_per_byte", seeds, IDENTITY, SIGNATURE)


def test_the_model_of_a_seed_is_a_finished_run_that_nothing_takes_for_a_candidate(project):
    first = run("tiny")
    record_seed(connect(), of_seed(8, 2.4), IDENTITY)
    client = connect()
    assert (whole("tiny") or {}) == {**first, "new": False}
    (row,) = questions.runs("tiny")
    assert row["run_id"] == first["run_id"]
    (found,) = client.search_runs([first["experiment_id"]], f"tags.`{NOISE}` = '{IDENTITY}'")
    assert (found.info.status, found.info.run_name) == ("FINISHED", "tiny-seed-8")
    assert found.data.tags[SEED] == "8" and "gristmill.identity" not in found.data.tags
    assert found.data.params["train.steps"] == "4"
    assert found.data.metrics["test_bits_per_byte"] == 2.4 and found.data.metrics["test_documents"] == 2
    (point,) = client.get_metric_history(found.info.run_id, "loss")
    assert (point.step, point.value, point.timestamp) == (2, 13.0, round((1e9 + 8) * 1000))
    files = {file.path for file in client.list_artifacts(found.info.run_id, "evaluation")}
    assert files == {"evaluation/metrics.json", "evaluation/scores.parquet"}
    assert find_own_run(client, "tiny", IDENTITY).info.run_id == first["run_id"]
    assert run("tiny") == {**first, "new": False}


def test_seeds_are_known_by_training_seed_and_signature_once_they_are_recorded_whole(project):
    run("tiny")
    client, trained = connect(), of_seed(8, 2.4)
    first = record_seed(client, trained, IDENTITY)
    assert known() == {8: first} and first.metrics == {"bits_per_byte": 2.4, "perplexity": 4.8, "loss": 5.4}
    assert known(identity="0" * 64) == known(signature=f"{SIGNATURE}|window:99") == {}
    client.update_run(first.run_id, "RUNNING")  # killed in the middle of the record
    assert known() == {}
    assert record_seed(client, trained, IDENTITY).run_id == first.run_id
    assert known() == {8: first}
    assert len(client.get_metric_history(first.run_id, "test_bits_per_byte")) == 1


def test_the_spread_is_the_sample_deviation_of_every_metric():
    spread = spread_of(VALUES)
    assert (spread.metric, spread.seeds) == ("bits_per_byte", 3)
    assert spread.mean == pytest.approx(np.mean(VALUES)) and spread.deviation == pytest.approx(np.std(VALUES, ddof=1))
    assert spread.others["loss"]["deviation"] == pytest.approx(np.std(np.square(VALUES), ddof=1))


def test_the_last_spread_is_kept_with_the_experiment(project):
    first, client = run("tiny"), connect()
    assert read_spread(client, "tiny") is None and read_spread(client, "unknown") is None
    for values in (VALUES[:2], VALUES):
        keep_spread(client, "tiny", spread_of(values))
        assert (found := read_spread(client, "tiny")) is not None and found.seeds == len(values)
        assert replace(found, time="") == replace(spread_of(values), time="")
    assert whole("tiny") == {**first, "new": False}
    for damaged in ("{", "[]", '{"metric": "loss"}', json.dumps({**vars(spread_of(VALUES)), "deviation": "much"})):
        client.set_experiment_tag(first["experiment_id"], NOISE, damaged)
        with pytest.raises(GristmillError, match=r"the tag gristmill\.noise of the experiment tiny is damaged"):
            read_spread(client, "tiny")


def test_the_gate_reads_the_noise_of_a_metric(project):
    run("tiny")
    client, spread = connect(), spread_of(VALUES)
    assert read_noise(client, "tiny", "bits_per_byte") is None
    keep_spread(client, "tiny", spread)
    for metric, deviation in (("bits_per_byte", spread.deviation), ("loss", spread.others["loss"]["deviation"])):
        found = read_noise(client, "tiny", metric)
        assert found is not None and (found.deviation, found.seeds) == (deviation, 3)
    assert read_noise(client, "tiny", "bleu") is None


def test_without_a_run_of_the_recipe_there_is_nothing_to_measure(project):
    with pytest.raises(GristmillError, match="tiny: MLflow has no run of its model; first: gristmill run tiny"):
        find_own_run(connect(), "tiny", IDENTITY)
