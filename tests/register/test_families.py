"""The record and the model card of every task, and of fine-tuned models."""

import json
import shutil
from pathlib import Path

import pytest

from tasks.register.card import model_card
from tasks.register.registration import run
from tasks.register.results import read_results
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_file
from tasks.stage.task import FAMILIES
from tests.register import IDENTITY, make_project, the_run, write_json
from tests.register.models import save_model

CURVES = {"loss", "validation_loss", "learning_rate"}
TRAINING = {
    "training_steps", "training_tokens", "training_seconds", "training_tokens_per_second",
    "training_checkpoint_seconds", "training_checkpoint_waited",
}  # fmt: skip
COUNTS = {"test_tokens", "test_bytes", "test_documents"}
HUB = {"kind": "hub", "name": "them/big-bert", "revision": "v1", "licence": "Apache-2.0"}


def start_from(data: Path, init: dict, model: Path) -> None:
    """Write the outputs of the stage `base`."""
    shutil.rmtree(data / "base")
    shutil.copytree(model, data / "base")
    weights = {path.name: hash_file(path) for path in (data / "base").glob("*.safetensors")}
    write_json(data / "base" / "report.json", {"stage": "base", "details": {"init": init, "weights": weights}})


@pytest.mark.parametrize("task", FAMILIES)
def test_the_metrics_of_a_run_have_the_names_of_its_family(project_of, task):
    project_of(task)
    run("tiny")
    names = set()
    for metric, baselines in FAMILIES[task].metrics.items():
        names |= {f"test_{metric}", f"test_{metric}_low", f"test_{metric}_high"}
        names |= {f"test_{metric}_{name}" for name in baselines if name != "base"}
    assert set(the_run().data.metrics) == names | CURVES | TRAINING | COUNTS
    first = next(iter(FAMILIES[task].metrics))
    assert the_run().data.metrics[f"test_{first}"] == 2.5


@pytest.mark.parametrize(
    ("task", "pipeline", "auto", "sample"),
    [
        ("causal-lm", "text-generation", "AutoModelForCausalLM", "ROMEO: Ay me!"),
        ("translation", "translation", "AutoModelForSeq2SeqLM", "the cat\n→  Ay me!\nreference: Woe is me!"),
        ("summarization", "summarization", "AutoModelForSeq2SeqLM", "reference: Woe is me!"),
        ("masked-lm", "fill-mask", "AutoModelForMaskedLM", "The cat [MASK] on the mat.\n→  Ay me!"),
        ("classification", "text-classification", "AutoModelForSequenceClassification", "label: net"),
        ("chat", "text-generation", "AutoModelForCausalLM", "Who sat on the mat?\n→  Ay me!"),
        ("preference", "text-generation", "AutoModelForCausalLM", "Conversations are rendered by its chat template (`"),
    ],
)
def test_the_card_says_what_the_model_is_for_and_how_it_is_loaded(project_of, task, pipeline, auto, sample):
    project_of(task)
    card = model_card(read_results("tiny"))
    assert f"\npipeline_tag: {pipeline}\n" in card
    assert f"from transformers import {auto}, AutoTokenizer" in card and f"model = {auto}.from_pretrained" in card
    assert sample in card
    assert "base_model" not in card and "Started from" not in card
    code = card.partition("```python\n")[2].partition("```")[0].replace("<this folder>", "data/tiny/model")
    names: dict = {}
    exec(code, names)
    assert names["model"].config.model_type == read_results("tiny").architecture


def test_the_card_shows_the_interval_and_the_baselines_beside_the_metric(project_of):
    project_of("translation")
    card = model_card(read_results("tiny"))
    assert "| bleu | 2.5000 | 2.2500 to 2.7500 | copy 4.5000 |" in card
    assert "| chrf | 5.5000 | 5.2500 to 5.7500 | copy 4.5000 |" in card
    assert "Also counted: tokens 40, bytes 111, documents 2." in card
    assert "trained on 24 tokens of a text" in card and "`target/`" in card


def test_the_prefix_stands_in_the_card(project_of):
    project_of("summarization")
    assert "Before each text stands `summarize: `" in model_card(read_results("tiny"))


def test_a_model_of_the_hub_that_it_started_from_is_named_with_its_licence(project_of):
    root = project_of("classification")
    save_model(root / "big", "classification", seed=5)
    start_from(root / "data/tiny", HUB, root / "big")
    run("tiny")
    card = model_card(read_results("tiny"))
    assert "\nbase_model: them/big-bert\n" in card
    assert "- Started from: them/big-bert of the Hugging Face Hub\n" in card
    assert "Licence of the source: MIT.\nLicence of the model it started from: Apache-2.0.\n" in card
    assert the_run().data.tags["gristmill.base"] == "them/big-bert"
    assert "gristmill.base_identity" not in the_run().data.tags
    inputs = {item.dataset.name: item for item in the_run().inputs.dataset_inputs}
    tags = {tag.key: tag.value for tag in inputs["data/tiny/base"].tags}
    assert tags["mlflow.data.context"] == "base" and len(tags["sha256"]) == 64


def test_a_model_that_started_from_another_recipe_is_tied_to_its_training(project_of):
    root = project_of("classification")
    make_project(root, recipe="big", task="masked-lm")
    start_from(root / "data/tiny", {"kind": "recipe", "name": "big"}, root / "data/big/model")
    run("tiny")
    tags = the_run().data.tags
    assert (tags["gristmill.base"], tags["gristmill.base_identity"]) == ("big", IDENTITY)
    card = model_card(read_results("tiny"))
    assert f"- Started from: the model of recipe big, training `{IDENTITY}`" in card
    assert "Licence of the model it started from: MIT." in card and "base_model" not in card


def test_another_model_in_the_place_of_the_base_is_not_taken_for_it(project_of):
    root = project_of("classification")
    make_project(root, recipe="big", task="masked-lm")
    start_from(root / "data/tiny", {"kind": "recipe", "name": "big"}, root / "data/big/model")
    save_model(root / "data/big/model", "masked-lm", seed=9)
    run("tiny")
    assert the_run().data.tags["gristmill.base"] == "big"
    assert "gristmill.base_identity" not in the_run().data.tags


def test_settings_are_recorded_once_as_the_training_resolved_them(project_of):
    root = project_of("classification")
    report = root / "data/tiny/training/report.json"
    content = json.loads(report.read_text())
    content["details"]["settings"]["model"]["init"] = {"kind": "recipe", "name": "big"}
    write_json(report, content)
    recipe = root / "recipes/tiny.yaml"
    recipe.write_text(recipe.read_text().replace("init: scratch", "init: 'recipe:big'"))
    run("tiny")
    parameters = the_run().data.params
    assert {key: value for key, value in parameters.items() if key.startswith("model.")} == {
        "model.init.kind": "recipe", "model.init.name": "big", "model.architecture": "llama",
        "model.config.hidden_size": "8",
    }  # fmt: skip
    assert parameters["task"] == "classification" and parameters["ingest.kind"] == "files"


def test_a_base_without_a_report_is_told(project):
    (project / "data/tiny/base/report.json").write_text("{}")
    with pytest.raises(DataError, match=r"data/tiny/base/report\.json: cannot be read"):
        read_results("tiny")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("training/report.json", b"{}", r"training/report\.json: details: missing; delete"),
        ("training/report.json", b"[]", r"training/report\.json: damaged; delete"),
        ("training/report.json", b"\xff", r"training/report\.json: invalid JSON"),
        ("evaluation/report.json", b'{"details": 7}', r"evaluation/report\.json: details: missing; delete"),
        ("evaluation/metrics.json", b"[1]", r"evaluation/metrics\.json: damaged; delete"),
        ("evaluation/samples.json", b"{}", r"evaluation/samples\.json: damaged; delete"),
        ("training/history.csv", b"step,loss\n\xff\xfe,1\n", r"history\.csv line 2: expected a step and its metrics"),
        ("training/history.csv", b"step,loss\n1,2,3\n", r"history\.csv line 2: expected a step and its metrics"),
    ],
)
def test_a_damaged_output_is_named(project: Path, name: str, content: bytes, sentence: str) -> None:
    (project / "data/tiny" / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        run("tiny")


@pytest.mark.parametrize("name", ["' '", "'\\t'", "' a'", "'a '", "'\u3000'", "''"])
def test_a_name_of_blanks_is_no_name(name: str) -> None:
    from pydantic import ValidationError

    from tasks.register.settings import RegisterSettings

    with pytest.raises(ValidationError, match="model_name"):
        RegisterSettings(model_name=name.strip("'").replace("\\t", "\t"))
    assert RegisterSettings(model_name="my model").model_name == "my model"
