"""Smaller variants beside the model as `transformers` runs it in float32, in turns: scoring and writing of a trained
SmolLM2-135M, and the exported files of a classifier.

Scored are test documents of at most a window, one after the other by `transformers` as its documentation does, in
batches of similar length by the evaluation; both with the perplexity that they find.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scoring import paired
from benchmarks.targets import Target
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section
from tests.scratch import ROOT

RECIPE, VARIANT = "smollm2-debian", "int8"
DOCUMENTS = 48
WRITTEN = 48
"""Tokens."""
EXPORTED = ("minilm-sections", "bert-sections", RECIPE)


def measure(folder: Path) -> Iterator[Target | str]:
    """Tokens per second of both, the loss of the variant, and the speed of exported files."""
    from tasks.workers.system import prepare

    prepare()
    import torch

    torch.set_num_threads(workers())
    data = ROOT / "data" / RECIPE
    if (data / "variants" / VARIANT / "config.json").is_file():
        yield from _causal(data)
    else:
        yield f"variants: not measured, as {data / 'variants'} is missing (dvc repro compress@{RECIPE})"
    for recipe in EXPORTED:
        path = ROOT / "data" / recipe / "export-speed.json"
        for name, times in json.loads(path.read_text(encoding="utf-8")).items() if path.is_file() else ():
            yield f"{recipe}, {name}: {times:.2f} times as fast as PyTorch in fp32 (by the stage export)"


def _causal(data: Path) -> Iterator[Target | str]:
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from tasks.evaluate.loading import load_model
    from tasks.evaluate.perplexity import token_losses
    from tasks.evaluate.settings import CausalEvaluateSettings
    from tasks.formats.corpus import read_batches

    settings = read_section(RECIPE, "evaluate", CausalEvaluateSettings)
    small = load_model(data / "variants" / VARIANT, "causal-lm", settings.precision)
    plain = AutoModelForCausalLM.from_pretrained(data / "model", dtype=torch.float32).eval()
    texts = next(read_batches(data / "clean" / "test", ["text"])).column("text").to_pylist()
    encoded = [np.asarray(small.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    documents = [ids for ids in encoded if 2 <= len(ids) < settings.window][:DOCUMENTS]
    tokens = sum(map(len, documents))

    def ours() -> float:
        losses = token_losses(small.model, documents, small.eos_token_id, settings, workers())
        return float(sum(row.sum() for row in losses))

    def theirs() -> float:
        total = 0.0
        with torch.no_grad():
            for ids in documents:
                row = torch.tensor([[small.eos_token_id, *ids.tolist()]])
                total += float(plain(input_ids=row, labels=row).loss) * len(ids)
        return total

    (own, found), (other, wanted) = paired(ours, theirs)
    yield f"scoring {tokens:,} tokens: {VARIANT} {tokens / own:,.0f} tokens/s, transformers {tokens / other:,.0f}"
    yield Target(f"{VARIANT}, tokens/s of scoring beside transformers", other / own, "times", 3)
    worse = 100 * (math.exp((found - wanted) / tokens) - 1)
    yield Target(f"{VARIANT}, perplexity above transformers in fp32", worse, "%", 0.5, most=True)
    prompt = torch.tensor([documents[0][:16].tolist()])

    def write(model: Any) -> Any:
        how = {"max_new_tokens": WRITTEN, "min_new_tokens": WRITTEN, "do_sample": False, "pad_token_id": 0}
        return model.generate(prompt, **how)

    (own, _), (other, _) = paired(lambda: write(small.model), lambda: write(plain))
    yield f"writing: {VARIANT} {WRITTEN / own:.1f} tokens/s, transformers {WRITTEN / other:.1f}"
    yield f"  {other / own:.2f} times as fast"
