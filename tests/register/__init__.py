"""A project after the stage evaluate, for any task: real files, a real model of width 8."""

import functools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from tasks.stage.task import CHATS, FAMILIES, PAIRS
from tests.register.models import save_model

IDENTITY = "5e" * 32
SIGNATURE = "task:causal-lm|window:16|stride:8|tok:aaa|data:ddd|version:gristmill-1"
RECIPE = """
task: %s
description: Two plays in miniature.
ingest: {kind: files, paths: [plays/*.txt], licence: MIT}
clean: {min_words: 3}
tokenize: {vocab_size: 300}
model: {init: scratch, architecture: llama, config: {hidden_size: 8}}
train: {steps: 4, learning_rate: 3e-3}
evaluate: {window: 16, stride: 8}
"""
GENERATION = {
    "num_beams": 2, "max_new_tokens": 12, "length_penalty": 0.8, "repetition_penalty": 1.0, "no_repeat_ngram_size": 3,
    "early_stopping": True,
}  # fmt: skip
PROMPTS = {
    "causal-lm": "ROMEO:", "translation": "the cat", "summarization": "The cat sat on the mat.",
    "masked-lm": "The cat [MASK] on the mat.", "classification": "A dog ran away.", "chat": "Who sat on the mat?",
    "preference": "Who ran away?",
}  # fmt: skip
CHAT_GENERATION = {
    **GENERATION, "num_beams": 1, "no_repeat_ngram_size": 0, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0,
}  # fmt: skip
HISTORY = "step,loss,learning_rate,validation_loss\n1,5.5,0.1,\n2,5.25,0.1,5.3\n3,5.125,0.05,\n4,5.0,0.0,5.1\n"


@functools.cache
def empty_database() -> bytes:
    """An empty `mlflow.db`, made once: MLflow takes seconds to create its tables."""
    from mlflow import MlflowClient

    from tasks.tracking.client import hush

    hush()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
        return path.read_bytes()


def the_run() -> Any:
    """The only run of the recipe `tiny`."""
    from mlflow import MlflowClient

    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    return found


def the_model() -> Any:
    """The only logged model of the recipe `tiny`."""
    from mlflow import MlflowClient

    client = MlflowClient()
    (found,) = client.search_logged_models([client.get_experiment_by_name("tiny").experiment_id])
    return found


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make_project(root: Path, recipe: str = "tiny", task: str = "causal-lm") -> Path:
    """Write recipe, reports, history, evaluation, dvc.lock and model; returns `data/<recipe>`."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / f"{recipe}.yaml").write_text(RECIPE % task)
    data = root / "data" / recipe
    write_json(data / "base" / "report.json", {"stage": "base", "details": {"init": {"kind": "scratch"}}})
    for stage in ("raw", "valid", "clean", "tokens"):
        write_json(data / stage / "report.json", {"stage": stage})
    write_json(data / "tokens" / "train" / "index.json", {"documents": 3, "tokens": 70, "text_bytes": 200})
    (data / "clean" / "test").mkdir(parents=True)
    (data / "validation" / "docs").mkdir(parents=True)
    (data / "validation" / "docs" / "index.html").write_text("<h1>Data Docs</h1>")
    (data / "training").mkdir()
    (data / "training" / "history.csv").write_text(HISTORY)
    train(data, task=task)
    evaluate(data, 2.5, task=task)
    (root / "dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  train@{recipe}:\n    cmd: x\n    deps:\n"
        f"    - {{path: data/{recipe}/tokens/train, hash: md5, md5: {'7' * 32}.dir, size: 3, nfiles: 1}}\n"
    )
    return data


def train(data: Path, identity: str = IDENTITY, seed: int = 0, task: str = "causal-lm") -> None:
    """The outputs of train: weights with this seed, report, timing."""
    model = {"init": {"kind": "scratch"}, "architecture": "llama", "config": {"hidden_size": 8}}
    settings = {"task": task, "model": model, "train": {"steps": 4, "learning_rate": 0.003, "seed": 7}}
    details = {"precision": "fp32", "parameters": 4321, "steps": 4, "tokens_seen": 256}
    details |= {"identity": identity, "settings": settings}
    write_json(data / "training" / "report.json", {"stage": "train", "details": details})
    timing = {"seconds": 12.5, "tokens_per_second": 20.48, "processor": "a mill", "finished": "2026-11-22T02:53:21Z"}
    timing |= {"checkpoint_seconds": 0.5, "checkpoint_waited": 0.25, "continued_from": {"identity": "5e", "step": 2}}
    write_json(data / "checkpoints" / identity / "timing.json", timing)
    save_model(data / "model", task, seed)


def evaluate(
    data: Path, headline: float, signature: str = SIGNATURE, task: str = "causal-lm", generation: Any = None
) -> None:
    """The outputs of evaluate for this value of the headline metric."""
    metrics: dict[str, Any] = {}
    for number, metric in enumerate(FAMILIES[task].metrics):
        metrics[metric] = headline + 3 * number
        metrics |= {f"{metric}_low": metrics[metric] - 0.25, f"{metric}_high": metrics[metric] + 0.25}
    for metric, names in FAMILIES[task].metrics.items():
        metrics |= {f"{name}_{metric}": 4.5 - 1.5 * place for place, name in enumerate(names) if name != "base"}
    classes = {"cat": {"f1": 0.5, "documents": 1}, "dog": {"f1": 0.25, "documents": 1}}
    counts = {"tokens": 40, "bytes": 111, "documents": 2}
    write_json(data / "evaluation" / "metrics.json", {**metrics, **counts, "classes": classes, "signature": signature})
    said = {**dict.fromkeys(PAIRS, GENERATION), **dict.fromkeys(CHATS, CHAT_GENERATION)}.get(task)
    details = {"generation": generation or said} if said else {}
    write_json(data / "evaluation" / "report.json", {"stage": "evaluate", "details": details})
    more = {"reference": "Woe is me!"} if task in PAIRS else {"label": "net"} if task == "classification" else {}
    write_json(data / "evaluation" / "samples.json", [{"prompt": PROMPTS[task], "text": " Ay me!", **more}])
    (data / "evaluation" / "curves.png").write_bytes(b"\x89PNG")
    if task == "causal-lm":
        _write_scores(data / "evaluation" / "scores.parquet", headline)


def _write_scores(path: Path, bits_per_byte: float) -> None:
    """Scores of 36 documents in 12 groups, each a little above or below the whole's bits per byte."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, rows = 100, []
    for number in range(36):
        loss = bits_per_byte * math.log(2) * size * (1 + 0.01 * (number % 3 - 1))
        rates = {"bits_per_byte": loss / math.log(2) / size, "perplexity": math.exp(loss / 30)}
        rows.append(
            {"id": f"d{number}", "group": f"g{number // 3}", "bytes": size, "tokens": 30, "loss": loss, **rates}
        )
    pq.write_table(pa.Table.from_pylist(rows), path)
