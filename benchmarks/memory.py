"""Peak memory of the stages on a large corpus: `GRISTMILL_BENCH_GB=10 python -m benchmarks memory`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clean import EVERYTHING, MEMORY
from benchmarks.growth import real_texts, write_grown
from benchmarks.targets import Target
from benchmarks.watch import run_stage
from tests.scratch import make_project

GIGABYTES = float(os.environ.get("GRISTMILL_BENCH_GB") or 0.5)
SIZES = (GIGABYTES / 2, GIGABYTES)
REST = """
validate: {}
tokenize: {vocab_size: 4096}
model:
  init: scratch
  architecture: llama
  config:
    {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, max_position_embeddings: 64}
train:
  {steps: 20, context_length: 64, batch_size: 8, evaluate_every: 20, evaluation_tokens: 2048, checkpoint_every: 20}
"""
INGEST = """
ingest: {kind: files, licence: CC0, files: ["texts/*.parquet"], documents: {id_column: id, group_column: group}}
"""
STAGES = ("ingest", "validate", "clean", "tokenize", "base", "train")


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure the peak of each stage for a corpus and for one of twice the size."""
    texts = real_texts()
    for size in SIZES:
        project = make_project(folder / f"{size}")
        (project / "recipes" / "tiny.yaml").write_text(EVERYTHING + INGEST + REST, encoding="utf-8")
        written = write_grown(project / "texts", texts, int(size * 1e9))
        yield f"{written / 1e9:.2f} GB of text"
        for stage in STAGES:
            found = run_stage(project, stage, "tiny", MLFLOW_TRACKING_URI=(project / "mlruns").as_uri())
            title = f"memory of {stage}, {written / 1e9:.1f} GB of text in {found.seconds:,.0f} s"
            yield Target(title, found.peak / 1e6, "MB", MEMORY, most=True)
        shutil.rmtree(project)
