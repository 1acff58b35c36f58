"""Evaluation beside its peers, in pairs: bits per byte beside lm-eval, generation beside `generate` of transformers.

Both score the same windows of the same texts with one model and print the same sum of losses. lm-eval pads each batch,
keeps log-probabilities of the whole vocabulary and reads them token by token; its default is one window per batch.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from benchmarks.targets import Target
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section, read_yaml
from tests.scratch import ROOT

WINDOW = 128
BATCH = 16
DOCUMENTS = 6
PAIRS = 5
EVERY = 12
"""Of so many batches of the test split one is translated."""
TRANSLATION = "translate-en-fr"


def measure(folder: Path) -> Iterator[Target | str]:
    """Tokens per second of scoring and of generation, and their ratios to the peers'."""
    from tasks.workers.system import prepare

    prepare()
    import torch

    torch.set_num_threads(workers())
    yield from _scoring(folder)
    yield from _generation()


def _scoring(folder: Path) -> Iterator[Target | str]:
    if find_spec("lm_eval") is None:
        yield "scoring beside lm-eval: not measured, as it is not installed (pip install -e '.[bench]')"
        return
    import numpy as np

    from tasks.evaluate.loading import load_weights
    from tasks.evaluate.perplexity import token_losses
    from tasks.evaluate.settings import CausalEvaluateSettings

    tokenizer, texts = _save_model(folder)
    model = load_weights(folder, "causal-lm", "fp32")
    settings = CausalEvaluateSettings.model_validate({"window": WINDOW, "stride": WINDOW, "batch_size": BATCH})

    def ours() -> tuple[float, float]:
        start = time.perf_counter()
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        documents = [np.asarray(row, np.int64) for row in rows]
        losses = token_losses(model, documents, tokenizer.eos_token_id, settings, workers())
        return time.perf_counter() - start, float(sum(row.sum() for row in losses))

    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"]))
    command = [sys.executable, "-m", "benchmarks.scoring_peer", str(folder), str(WINDOW)]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True, cwd=ROOT) as process:

        def peer(size: int) -> tuple[float, float]:
            print(size, file=process.stdin, flush=True)
            seconds, total = map(float, (process.stdout or sys.stdin).readline().split())
            return seconds, total

        runs = [(ours(), peer(1), peer(BATCH)) for _ in range(1 + PAIRS)][1:]
    own, single, batched = (median(run[at][0] for run in runs) for at in range(3))
    yield f"scoring {tokens:,} tokens: {tokens / own:,.0f} tokens/s, sum of losses {runs[0][0][1]:.3f} nats"
    yield f"  lm-eval, batch_size 1 (its default) {tokens / single:,.0f} tokens/s, {BATCH} {tokens / batched:,.0f}"
    yield f"  lm-eval's sum of losses {runs[0][2][1]:.3f} nats"
    yield Target("bits per byte, tokens/s beside lm-eval's default", single / own, "times", 5)
    yield f"  beside lm-eval in batches of {BATCH}: {batched / own:.2f} times"


def _save_model(folder: Path) -> tuple[Any, list[str]]:
    """A model of the recipe shakespeare's shape with random weights, its tokenizer, and texts to score."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    texts = [path.read_text(encoding="utf-8")[:20_000] for path in sorted(ROOT.glob("**/*.md"))[:DOCUMENTS]]
    made = read_yaml(ROOT / "recipes" / "shakespeare.yaml")["model"]
    engine = ByteLevelBPETokenizer()
    engine.train_from_iterator(texts, vocab_size=2048, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine._tokenizer, eos_token="<|endoftext|>")
    config = AutoConfig.for_model(made["architecture"], **made["config"], vocab_size=2048)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    return tokenizer, texts


def _generation() -> Iterator[Target | str]:
    """Translations of the recipe's trained model: a model without training would not end its outputs."""
    folder = ROOT / "data" / TRANSLATION
    if not (folder / "model" / "config.json").is_file():
        yield f"generation: not measured, as {folder}/model is missing (dvc repro train@{TRANSLATION})"
        return
    from transformers import AutoModelForSeq2SeqLM

    from tasks.evaluate.batches import batches_by_length, map_batches
    from tasks.evaluate.generation import encode_pairs, load_pair_model, outputs
    from tasks.evaluate.settings import TranslationEvaluateSettings
    from tasks.formats.corpus import read_batches
    from tasks.formats.rows import padded

    settings = read_section(TRANSLATION, "evaluate", TranslationEvaluateSettings)
    model = load_pair_model(folder / "model", "translation", settings.precision)
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder / "model").eval()
    rows = next(read_batches(folder / "clean" / "test", ["id", "text", "target"]))
    encoded = encode_pairs(model, rows.column("text").to_pylist(), rows.column("target").to_pylist())
    lengths, names = [len(each.source) for each in encoded], rows.column("id").to_pylist()
    batches = [[encoded[at] for at in batch] for batch in batches_by_length(lengths, names, settings.batch_size)]
    batches = batches[EVERY // 2 :: EVERY]
    search = {"num_beams": settings.generation.num_beams, "max_new_tokens": settings.generation.max_new_tokens}

    def ours() -> list[list[int]]:
        def work(batch: Any) -> list[list[int]]:
            return outputs(model, batch, settings.generation, settings.precision)

        return [row for _, found in map_batches(work, batches, model.loaded.model, workers()) for row in found]

    def peer() -> list[list[int]]:
        import torch

        found = []
        for batch in batches:
            ids, mask = map(torch.from_numpy, padded([each.source for each in batch], plain.config.pad_token_id))
            found += plain.generate(input_ids=ids, attention_mask=mask, early_stopping=True, **search)[:, 1:].tolist()
        return found

    (own, own_rows), (other, other_rows) = paired(ours, peer)
    end = plain.config.eos_token_id
    same = [_until(row, end) == _until(wanted, end) for row, wanted in zip(own_rows, other_rows, strict=True)]
    tokens = sum(len(_until(row, end)) for row in own_rows)
    yield f"translating {len(same)} texts: {tokens / own:,.0f} tokens/s, transformers {tokens / other:,.0f} tokens/s"
    yield f"  {sum(same)} of {len(same)} outputs are the same"
    yield Target("generation, tokens/s beside transformers", other / own, "times", 3)


def _until(row: Sequence[int], end: int) -> list[int]:
    return list(row[: row.index(end)] if end in row else row)


def paired(*works: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Median seconds and the result of each work, in turns."""
    found: list[Any] = [work() for work in works]
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(PAIRS):
        for work, taken in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [(median(taken), result) for taken, result in zip(seconds, found, strict=True)]
