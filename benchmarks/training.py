"""FLOP/s of the default recipe's training against the machine's peak in matrix products.

FLOPs per token as in Kaplan et al. 2020 (arXiv 2001.08361, section 2.1), forward and backward: 6 per parameter in a
matrix product, plus 12 · layers · width · context for attention.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import best
from tasks.stage.runtime import workers
from tasks.stage.settings import read_yaml
from tests.scratch import ROOT, command, make_project

SIZE = 2048
STEPS = 120


def measure(folder: Path) -> Iterator[str]:
    """Measure a short training of the default recipe's model as a fraction of the peak."""
    import torch

    project = make_project(folder / "project")
    recipe = project / "recipes" / "tiny.yaml"
    shipped = (ROOT / "recipes" / "shakespeare.yaml").read_text(encoding="utf-8")
    recipe.write_text(re.sub(r"(?m)^  steps: \d+", f"  steps: {STEPS}", shipped), encoding="utf-8")
    context = read_yaml(recipe)["train"]["context_length"]
    torch.set_num_threads(workers())
    command(project, "dvc", "repro", "tokenize@tiny")
    peaks = {"fp32": peak(torch.float32), "bf16": peak(torch.bfloat16)}
    command(project, "dvc", "repro", "train@tiny")
    (timing,) = (json.loads(path.read_text()) for path in project.glob("data/tiny/checkpoints/*/timing.json"))
    report = json.loads((project / "data/tiny/training/report.json").read_text())["details"]
    rate = timing["tokens_per_second"] * operations_per_token(project / "data/tiny/model", context) / 1e9
    yield f"matrix product of {SIZE}, fp32              {peaks['fp32']:7.0f} GF/s"
    yield f"matrix product of {SIZE}, bf16              {peaks['bf16']:7.0f} GF/s"
    yield f"training ({report['precision']}), {timing['tokens_per_second']:,.0f} tokens/s       {rate:7.0f} GF/s"
    yield f"                                       {rate / peaks['bf16']:7.2f} of the bf16 peak"
    yield f"                                       {rate / peaks['fp32']:7.2f} of the fp32 peak"


def peak(dtype: Any) -> float:
    """GF/s of a large square matrix product, the best of several."""
    import torch

    a, b = torch.randn(SIZE, SIZE).to(dtype), torch.randn(SIZE, SIZE).to(dtype)
    return 2 * SIZE**3 / best(lambda: a @ b, 8, time.perf_counter) / 1e9


def operations_per_token(model: Path, context: int) -> float:
    """FLOPs per token of a causal model, forward and backward."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(model)
    config = loaded.config
    multiplied = sum(p.numel() for name, p in loaded.named_parameters() if p.ndim == 2 and "embed" not in name)
    if config.tie_word_embeddings:
        multiplied += config.vocab_size * config.hidden_size
    return 6 * multiplied + 12 * config.num_hidden_layers * config.hidden_size * context
