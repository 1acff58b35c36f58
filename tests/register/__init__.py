"""A project in which everything up to evaluate has run: real files, a real model of width 8."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

IDENTITY = "5e" * 32
SIGNATURE = "task:causal-lm|window:16|stride:8|tok:aaa|data:ddd|version:gristmill-1"
RECIPE = """
task: causal-lm
description: Two plays in miniature.
ingest: {kind: files, paths: [plays/*.txt], licence: MIT}
clean: {min_words: 3}
tokenize: {vocab_size: 300}
model: {architecture: llama, hidden_size: 8}
train: {steps: 4, learning_rate: 3e-3}
evaluate: {window: 16}
"""
HISTORY = "step,loss,learning_rate,validation_loss\n1,5.5,0.1,\n2,5.25,0.1,5.3\n3,5.125,0.05,\n4,5.0,0.0,5.1\n"


@functools.cache
def empty_database() -> bytes:
    """A `mlflow.db` with nothing in it; it takes MLflow seconds to migrate one from nothing, so it is made once."""
    from mlflow import MlflowClient

    from tasks.contract.tracking import hush

    hush()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
        return path.read_bytes()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make_project(root: Path, register: str = "", recipe: str = "tiny") -> Path:
    """Recipe, reports, history, evaluation, dvc.lock and model of a recipe; returns `data/<recipe>`."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / f"{recipe}.yaml").write_text(RECIPE + (f"register: {register}\n" if register else ""))
    data = root / "data" / recipe
    for stage in ("raw", "valid", "clean", "tokens"):
        write_json(data / stage / "report.json", {"stage": stage})
    write_json(data / "tokens" / "train" / "index.json", {"documents": 3, "tokens": 70, "text_bytes": 200})
    (data / "clean" / "test").mkdir(parents=True)
    (data / "validation" / "docs").mkdir(parents=True)
    (data / "validation" / "docs" / "index.html").write_text("<h1>Data Docs</h1>")
    (data / "training").mkdir()
    (data / "training" / "history.csv").write_text(HISTORY)
    train(data)
    evaluate(data, 2.5)
    (root / "dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  train@{recipe}:\n    cmd: x\n    deps:\n"
        f"    - {{path: data/{recipe}/tokens/train, hash: md5, md5: {'7' * 32}.dir, size: 3, nfiles: 1}}\n"
    )
    return data


def train(data: Path, identity: str = IDENTITY, seed: int = 0) -> None:
    """What train leaves: weights of this seed, the report, the timing."""
    settings = {"task": "causal-lm", "train": {"steps": 4, "seed": 7}}
    details = {
        "identity": identity,
        "settings": settings,
        "precision": "fp32",
        "parameters": 4321,
        "steps": 4,
        "tokens_seen": 256,
    }
    write_json(data / "training" / "report.json", {"stage": "train", "details": details})
    timing = {"seconds": 12.5, "tokens_per_second": 20.48, "processor": "a mill"}
    write_json(data / "checkpoints" / identity / "timing.json", timing)
    save_model(data / "model", seed)


def evaluate(data: Path, bits_per_byte: float, signature: str = SIGNATURE) -> None:
    """What evaluate leaves, for this score."""
    metrics = {
        "bits_per_byte": bits_per_byte,
        "perplexity": 9.5,
        "loss": 2.25,
        "tokens": 40,
        "bytes": 111,
        "documents": 2,
    }
    baselines = {"unigram_bits_per_byte": 4.5, "xz_bits_per_byte": 3.0}
    write_json(data / "evaluation" / "metrics.json", {**metrics, **baselines, "signature": signature})
    write_json(data / "evaluation" / "samples.json", [{"prompt": "ROMEO:", "text": " Ay me!"}])
    (data / "evaluation" / "curves.png").write_bytes(b"\x89PNG")


def save_model(folder: Path, seed: int) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=257, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
