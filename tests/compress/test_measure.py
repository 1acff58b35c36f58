"""Variants are scored as the model itself is, beside it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.compress.__main__ import STAGE as COMPRESS
from tasks.measure.__main__ import STAGE as MEASURE
from tasks.register.predict import Champion
from tasks.register.registration import run as register
from tasks.register.results import read_results
from tasks.register.sync_run import scores
from tasks.register.variants import passed
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tests.families import tiny_recipe, write_source
from tests.register import empty_database
from tests.scratch import run_stages, without_tracking


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose recipe has a variant that was made and measured; do not modify."""
    folder = tmp_path_factory.mktemp("variants")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        without_tracking(patch)
        write_source(Path("texts/all.jsonl"))
        Path("recipes").mkdir()
        write({"int8": {"method": "quantize", "calibration": 8, "margin": 0.5}})
        run_stages("tiny")
        run(COMPRESS, "tiny")
        run(MEASURE, "tiny")
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of that project; the working directory."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    without_tracking(monkeypatch)


def write(variants: dict) -> None:
    recipe = tiny_recipe("causal-lm", "texts/all.jsonl")
    Path("recipes/tiny.yaml").write_text(json.dumps({**recipe, "compress": variants}))


def test_a_variant_is_compared_with_the_model_document_by_document() -> None:
    report = json.loads(Path("data/tiny/measured/report.json").read_text())
    compared = report["details"]["int8"]["bits_per_byte"]
    model = json.loads(Path("data/tiny/evaluation/metrics.json").read_text())
    measured = json.loads(Path("data/tiny/measured.json").read_text())
    assert measured["model"]["bits_per_byte"] == model["bits_per_byte"] == pytest.approx(compared["old"], abs=1e-4)
    assert measured["int8"]["bits_per_byte"] == pytest.approx(compared["new"], abs=1e-4)
    assert compared["new"] == pytest.approx(compared["old"], abs=0.05)
    assert compared["low"] < compared["gain"] < compared["high"] and compared["documents"] == model["documents"]
    assert measured["int8"]["bytes"] < measured["model"]["bytes"]
    speed = json.loads(Path("data/tiny/speed.json").read_text())
    assert speed["model"]["times_as_fast"] == 1.0
    assert all(speed["int8"][key] > 0 for key in ("documents_per_second", "times_as_fast", "memory"))
    results = read_results("tiny")
    named = scores(results)
    assert named["variant_int8_bits_per_byte"] == measured["int8"]["bits_per_byte"]
    assert named["variant_int8_times_as_fast"] == speed["int8"]["times_as_fast"]


def test_a_champion_answers_with_its_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    Path("mlflow.db").write_bytes(empty_database())
    register("tiny")
    client = MlflowClient()
    assert client.get_registered_model("tiny").aliases == {"champion": 1, "champion-int8": 1}
    whole, small = Champion("tiny"), Champion("tiny", "int8")
    answer = small.predict(["ka"], {"max_new_tokens": 8, "temperature": 0})
    assert answer[0].startswith("ka") and small._inside().folder.name == "int8"
    assert whole.predict(["ka"], {"max_new_tokens": 8, "temperature": 0})[0].startswith("ka")
    assert whole._inside().folder.name == "model"
    with pytest.raises(GristmillError, match=r"no variant 'int4' \(available: int8\); did you mean int8"):
        Champion("tiny", "int4")
    card = (whole._inside().folder / "README.md").read_text()
    assert "| variant | bytes | bits_per_byte |" in card and "\n| int8 | " in card


def test_a_variant_that_may_lose_too_much_gets_no_alias(capsys: pytest.CaptureFixture[str]) -> None:
    results = read_results("tiny")
    assert passed(results, "bits_per_byte") == ["int8"]
    strict = {"int8": {**results.settings["compress"]["int8"], "margin": 1e-9}}
    assert passed(replace(results, settings={**results.settings, "compress": strict}), "bits_per_byte") == []
    assert "int8 does not pass: a loss of at most" in capsys.readouterr().err


def test_the_same_settings_give_the_same_bytes() -> None:
    write({"int4": {"method": "quantize", "weights": "int4", "calibration": 8}})
    hashes = []
    for _ in range(2):
        run(COMPRESS, "tiny")
        hashes.append(hash_tree(Path("data/tiny/variants")))
    assert hashes[0] == hashes[1]


def test_groups_that_fit_no_layer_are_one_sentence() -> None:
    write({"wide": {"method": "quantize", "weights": "int4", "group": 48}})
    with pytest.raises(RecipeError, match=r"recipes/tiny.yaml: compress.wide.group: 48 divides the inputs of no layer"):
        run(COMPRESS, "tiny")


def test_a_variant_that_is_damaged_fails_the_measurement_with_its_sentence() -> None:
    write({"int8": {"method": "quantize", "calibration": 0}})
    run(COMPRESS, "tiny")
    path = Path("data/tiny/variants/int8/model.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="variants/int8: cannot be loaded"):
        run(MEASURE, "tiny")
