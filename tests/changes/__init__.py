"""Records of trained models in the layout of a run's artifacts, without a training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.changes.manifest import STAGES, write_manifests
from tasks.changes.record import Record
from tasks.formats.corpus import CorpusWriter, corpus_schema

SIGNATURE = "task:{task}|window:64|precision:fp32|tok:aaa|data:{data}|version:gristmill-1"
RECIPE = "task: {task}\ntrain: {{steps: {steps}}}\ningest: {{kind: files, paths: [{paths}]}}\nevaluate: {{}}\n"
Texts = Mapping[str, str]
"""Document id → text; the group is what stands before `#`."""


def texts(count: int, groups: int = 20, word: str = "word") -> dict[str, str]:
    """Documents in groups."""
    return {f"play-{number % groups:02}#{number:03}": f"{word} {number} " * (1 + number % 7) for number in range(count)}


def write_corpus(folder: Path, documents: Texts, **more: Sequence[str]) -> None:
    """A corpus of these documents, with the columns in `more` (`target`, `label`)."""
    schema, total = corpus_schema(), len(documents)
    columns: dict[str, Any] = {
        "id": list(documents), "group": [name.split("#")[0] for name in documents], "text": list(documents.values()),
        "target": [None] * total, "label": [None] * total, "source": ["texts.txt"] * total, **more,
    }  # fmt: skip
    with CorpusWriter(folder, schema) as writer:
        writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))


def write_scores(
    folder: Path, task: str, metrics: Mapping[str, float], rows: Mapping[str, Sequence[Any]], data: str
) -> None:
    """evaluation/ with these rows of scores.parquet."""
    folder.mkdir(parents=True)
    pq.write_table(pa.table(dict(rows)), folder / "scores.parquet")
    signature = SIGNATURE.format(task=task, data=data)
    (folder / "metrics.json").write_text(json.dumps({**metrics, "signature": signature}))


def language_rows(documents: Texts, loss: float) -> dict[str, list[Any]]:
    """Scores of a causal model: `loss` nats per byte, a bit more or less by document."""
    sizes = [len(text.encode()) for text in documents.values()]
    rates = [loss + 0.03 * (number % 5) for number in range(len(sizes))]
    return {
        "id": list(documents), "group": [name.split("#")[0] for name in documents], "bytes": sizes,
        "tokens": [size // 3 for size in sizes],
        "loss": [rate * size for rate, size in zip(rates, sizes, strict=True)],
        "bits_per_byte": [rate / 0.6931 for rate in rates], "perplexity": [3.0] * len(sizes),
    }  # fmt: skip


def make_record(
    folder: Path,
    name: str,
    test: Texts,
    *,
    train: Texts | None = None,
    task: str = "causal-lm",
    steps: int = 10,
    paths: str = "a.txt",
    loss: float = 1.0,
    rows: Mapping[str, Sequence[Any]] | None = None,
    data: str = "d1",
    **more: Any,
) -> Record:
    """A record of a model that was scored on `test`; its corpora are at hand."""
    corpora = {"raw": {**(train or {}), **test}, "valid": {**(train or {}), **test}, "train": train or {}, "test": test}
    for stage, documents in corpora.items():
        columns = {"label": rows["label"]} if rows and stage == "test" and "label" in rows else {}
        write_corpus(folder / STAGES[stage], documents, **columns)
    rows = rows if rows is not None else language_rows(test, loss)
    write_scores(folder / "evaluation", task, {"bits_per_byte": loss}, rows, data)
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(task=task, steps=steps, paths=paths))
    history = folder / "history.csv"
    lines = "".join(f"{step},{step},{5 - 0.1 * step},{5.1 - 0.1 * step},0.1,1\n" for step in range(1, steps + 1))
    history.write_text(f"step,tokens,loss,validation_loss,learning_rate,grad_norm\n{lines}")
    files = {
        "recipes/tiny.yaml": recipe, "training/history.csv": history,
        "evaluation/metrics.json": folder / "evaluation/metrics.json",
        "evaluation/scores.parquet": folder / "evaluation/scores.parquet",
        **write_manifests(folder),
    }  # fmt: skip
    shards = {stage: tuple((folder / STAGES[stage]).glob("part-*.parquet")) for stage in corpora}
    return Record(name, "tiny", files, corpora=shards, **more)
