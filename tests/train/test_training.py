import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.run import run
from tasks.train.__main__ import STAGE
from tests.train.conftest import CONFIGS, refuses, trained

Project = Callable[..., Path]
OUTPUTS = ("model/model.safetensors", "model/config.json", "model/generation_config.json", "training/history.csv",
           "training/report.json")  # fmt: skip


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "training/history.csv").open()))


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_loss_falls_and_plain_transformers_loads_the_model(project: Project, architecture: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = project(architecture, steps=24)
    report = run(STAGE, "tiny")
    curve = [float(row["loss"]) for row in rows(folder)]
    assert curve[-1] < curve[0] - 0.3
    assert [row["step"] for row in rows(folder) if row["validation_loss"]] == ["6", "12", "18", "24"]

    model, info = AutoModelForCausalLM.from_pretrained(folder / "model", output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config.vocab_size == len(tokenizer) and model.generation_config.eos_token_id == tokenizer.eos_token_id
    made = model.generate(**tokenizer("ROMEO", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert made.shape[1] > 4
    assert report.details["parameters"] == sum(p.numel() for p in model.parameters())
    assert (folder / "model/tokenizer.json").read_bytes() == (folder / "tokenizer/tokenizer.json").read_bytes()


def test_memorises_a_text(project: Project) -> None:
    fast = {"name": "muon", "learning_rate": 0.02, "matrix_learning_rate": 0.05}
    config = {**CONFIGS["llama"], "hidden_size": 32}
    folder = trained(project, "llama", config, steps=100, context_length=64, batch_size=2, optimizer=fast)
    assert float(rows(folder)[-1]["loss"]) < 0.2


def test_twice_gives_the_same_bytes_and_leaves_no_trace_of_time_or_place(project: Project, tmp_path: Path) -> None:
    folder = trained(project, keep="best", config={**CONFIGS["gpt_neox"], "hidden_dropout": 0.1})
    first = outputs(folder)
    run(STAGE, "tiny")
    assert outputs(folder) == first
    assert not any(str(tmp_path).encode() in content or b"202" in content for content in _texts(first))
    identity = json.loads(first["training/report.json"])["details"]["identity"]
    left = folder / "checkpoints" / identity
    assert json.loads((left / "timing.json").read_text())["threads"] == 1
    assert not list(left.glob("checkpoint-*")) and not list(left.glob("best*"))


def _texts(found: dict[str, bytes]) -> list[bytes]:
    return [re.sub(rb'"identity": "[0-9a-f]{64}"|[0-9]\.[0-9]+', b"", v) for k, v in found.items() if "safet" not in k]


def test_infinite_loss_stops_with_the_step_and_keeps_the_last_model(project: Project) -> None:
    folder = trained(project)
    before = outputs(folder)
    project(optimizer={"name": "adamw", "learning_rate": 1e30}, clip_norm=None, schedule={"warmup_steps": 0})
    refuses(GristmillError, r"recipes/tiny.yaml: train: the \w+ is (nan|inf) at step [2-9] of 12")
    assert outputs(folder) == before


def test_accumulated_batches_are_one_larger_batch(project: Project) -> None:
    folder = trained(project, batch_size=8, optimizer={"name": "adamw"})
    whole = [float(row["loss"]) for row in rows(folder)]
    trained(project, batch_size=2, accumulation=4, optimizer={"name": "adamw"})
    assert [float(row["loss"]) for row in rows(folder)] == pytest.approx(whole, rel=1e-3)
    assert [row["tokens"] for row in rows(folder)] == [str(step * 8 * 15) for step in (2, 4, 6, 8, 10, 12)]


def test_the_loss_is_that_of_the_tokens_that_are_predicted(project: Project) -> None:
    still = {"name": "adamw", "learning_rate": 1e-12}
    blocks = 20 * 2  # more than one pass, so that all tokens count about equally often
    folder = project("gpt2", {**CONFIGS["gpt2"], "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
                     optimizer=still, steps=blocks, log_every=blocks, evaluate_every=blocks)  # fmt: skip
    run(STAGE, "tiny")
    (row,) = rows(folder)
    assert float(row["loss"]) == pytest.approx(float(row["validation_loss"]), rel=2e-3)
    assert float(row["learning_rate"]) < 1e-12


def test_every_validation_has_its_row_with_the_rate_of_the_recipe(project: Project) -> None:
    rate = {"name": "muon", "learning_rate": 0.01, "embedding_learning_rate": 0.5}
    flat = {"warmup_steps": 0, "decay": 0.01}
    folder = trained(project, log_every=5, evaluate_every=3, optimizer=rate, schedule=flat)
    assert [row["step"] for row in rows(folder)] == ["3", "5", "6", "9", "10", "12"]
    assert [row["step"] for row in rows(folder) if row["validation_loss"]] == ["3", "6", "9", "12"]
    assert {float(row["learning_rate"]) for row in rows(folder)} == {0.01}


def test_best_model_is_the_one_with_the_lowest_validation_loss(project: Project) -> None:
    wild = {"name": "adamw", "learning_rate": 2.0}
    growing = {"warmup_steps": 20}
    folder = project(keep="best", steps=20, evaluate_every=2, optimizer=wild, schedule=growing)
    details = run(STAGE, "tiny").details
    losses = {int(row["step"]): float(row["validation_loss"]) for row in rows(folder) if row["validation_loss"]}
    best = min(losses, key=lambda step: losses[step])
    assert details["last_step"] == 20 != best == details["kept_step"]
    assert details["validation_loss"] == pytest.approx(losses[best], rel=1e-5)


def test_wrong_inputs_name_the_file_and_the_key(project: Project) -> None:
    folder = project(context_length=2048)
    refuses(DataError, r"tokens/train: [\d,]+ tokens, fewer than one block of 2048 .*context_length")
    project(context_length=256)
    refuses(DataError, r"tokens/validation: [\d,]+ tokens, fewer")
    project("gpt2", {**CONFIGS["gpt2"], "n_positions": 8})
    refuses(RecipeError, r"train.context_length: 16 exceeds the model's 8 positions .*config.n_positions")
    project("llama", {**CONFIGS["llama"], "num_attention_heads": 3})
    refuses(RecipeError, r"recipes/tiny.yaml: model.config: llama cannot be built")
    project("qwen3", {**CONFIGS["qwen3"], "num_attention_heads": 3, "num_key_value_heads": 2})
    refuses(RecipeError, r"recipes/tiny.yaml: model.config: qwen3 fails to run")
    bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    project("bert", bert)
    refuses(RecipeError, r"model.config: bert attends to later tokens")
    trained(project, "bert", {**bert, "is_decoder": True})
    index = folder / "tokens/validation/index.json"
    project()
    index.write_text(index.read_text().replace('"eos_token_id": 0', '"eos_token_id": 5'))
    refuses(DataError, r"tokens/validation/index.json: made by a different tokenizer")


def test_missing_or_unknown_task_is_told(project: Project) -> None:
    project()
    recipe = Path("recipes/tiny.yaml")
    recipe.write_text(recipe.read_text().replace("causal-lm", "poetry"))
    refuses(RecipeError, r'recipes/tiny.yaml: task: "poetry"; expected one of causal-lm, ')


BLOOM = {"hidden_size": 16, "n_layer": 1, "n_head": 2}


def test_an_architecture_without_sdpa_takes_eager_unless_the_recipe_asks_for_sdpa(project: Callable[..., Path]) -> None:
    project("bloom", BLOOM)
    assert run(STAGE, "tiny").details["attention"] == "eager"
    project("bloom", BLOOM, attention="sdpa")
    refuses(RecipeError, r"^recipes/tiny\.yaml: train\.attention: this architecture has no sdpa attention; use auto$")
    project("llama")
    assert run(STAGE, "tiny").details["attention"] == "sdpa"
