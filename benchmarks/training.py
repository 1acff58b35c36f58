"""Training: tokens/s and share of the peak, eager and compiled, beside `Trainer`; start-up; what a checkpoint costs.

Two models, on Shakespeare's plays: that of the recipe `shakespeare`, as shipped, and a GPT-2 of 14M parameters
(6 layers of 384, 6 heads, a vocabulary of 8,192, batches of 16 rows of 256 tokens, AdamW). All figures come from the
stage itself, run as `dvc repro` runs it and stopped by GRISTMILL_STOP_AFTER; the times are those of its journal, which
has one line a step. Beside it runs Hugging Face's `Trainer` with the options of its documentation (bf16 where the
hardware has it, fused AdamW, `torch_compile`) on the same model, blocks and OpenMP; see `trainer`.

The four kinds of training take turns, ROUNDS times, so that a machine that is slower for a while is so for all of them.
A figure is the median over steps and rounds. The first run of all compiles from cold caches and takes longer.

FLOPs per token as in Kaplan et al. 2020 (arXiv 2001.08361, section 2.1), forward and backward: 6 per parameter in a
matrix product, plus 12 · layers · width · context for attention.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gpu import flops
from benchmarks.growth import read_texts
from benchmarks.targets import Target
from benchmarks.timing import best
from tasks.formats.precision import bf16_in_hardware
from tasks.stage.runtime import workers
from tasks.stage.settings import read_yaml
from tests.register import empty_database
from tests.scratch import ROOT, command, make_project, write_code

SIZE = 2048
"""Of the square matrices whose product is the peak."""
ROUNDS = 2
WINDOW = 3
"""Steps that a checkpoint may slow down: it may be written beside them."""
EAGER, COMPILED, PEER, PEER_COMPILED = "eager", "compiled", "Trainer", "Trainer, compiled"

ASKED_GAIN = 2.0
"""Tokens/s of `shakespeare`, in units of an eager `Trainer`."""
ASKED_SHARE = {"AMX": 0.40, "no AMX": 0.60}
"""Of the peak of the precision that is trained in, for the GPT-2."""
ASKED_START = 8.5
"""Seconds from the launch of the stage to the end of its first step."""

GPT2 = """
task: causal-lm
tokenize: {vocab_size: 8192}
model:
  init: scratch
  architecture: gpt2
  config: {n_embd: 384, n_layer: 6, n_head: 6, n_positions: 256, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0}
train:
  steps: 800
  context_length: 256
  batch_size: 16
  optimizer: {name: adamw, learning_rate: 0.001}
  checkpoint_every: 100
"""
STEPS = {"shakespeare": 48, "gpt2": 13}
CHECKPOINTS = {"shakespeare": 12, "gpt2": 6}
"""Steps between checkpoints in these short trainings."""


@dataclass
class Kind:
    """What was seen of one kind of training, over all rounds."""

    steps: list[float] = field(default_factory=list)
    """Seconds of single steps; without the first third, in which MLflow is imported, and those near a checkpoint."""
    starts: list[float] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure both models, each beside its peers."""
    import torch

    torch.set_num_threads(workers())
    began = time.monotonic()
    project = _project(folder / "project")
    bf16 = bf16_in_hardware("cpu")
    amx = "AMX" if torch.cpu.get_capabilities().get("amx_bf16", False) else "no AMX"
    starts: list[float] = []
    for name, recipe in _recipes(project).items():
        found = {kind: Kind() for kind in (EAGER, COMPILED, PEER, PEER_COMPILED)}
        peaks = []
        for _ in range(ROUNDS):
            peaks.append(peak(torch.bfloat16 if bf16 else torch.float32))
            for kind, seen in found.items():
                _run(project, name, kind, seen)
        starts += found[EAGER].starts + found[COMPILED].starts
        tokens = recipe["train"]["batch_size"] * recipe["train"]["context_length"]
        speeds = {kind: tokens / median(seen.steps) for kind, seen in found.items()}
        parameters, operations = size_of(project, name)
        precision = f"{'bf16' if bf16 else 'fp32'}, {amx}, {workers()} threads"
        yield f"{name}: {parameters / 1e6:.1f}M parameters, {tokens:,} tokens a step, {precision}"
        yield f"  peak, a matrix product of {SIZE}       {max(peaks):8,.0f} GF/s"
        shares = {kind: speed * operations / 1e9 / max(peaks) for kind, speed in speeds.items()}
        for kind, speed in speeds.items():
            beside = f"{speed / speeds[PEER]:6.2f} of Trainer"
            yield f"  {kind:20} {speed:16,.0f} tokens/s {shares[kind]:7.2f} of the peak {beside}"
        cost, every = median(found[EAGER].checkpoints), recipe["train"]["checkpoint_every"]
        share = cost / (cost + every * median(found[EAGER].steps))
        yield f"  a checkpoint                       {cost:8.2f} s, {share:.1%} of the time at one in {every} steps"
        if name == "shakespeare":
            yield Target(
                f"training, {name}", max(speeds[EAGER], speeds[COMPILED]) / speeds[PEER], "of Trainer", ASKED_GAIN
            )
        else:
            reached = max(shares[EAGER], shares[COMPILED])
            yield Target(f"training, GPT-2 14M, {amx}", reached, "of the peak", ASKED_SHARE[amx])
    yield Target("training, launch to first step", median(starts), "s", ASKED_START, most=True)
    yield f"  measured in {time.monotonic() - began:.0f} s"


def _recipes(project: Path) -> dict[str, Any]:
    return {name: read_yaml(project / "recipes" / f"{name}.yaml") for name in STEPS}


def _project(folder: Path) -> Path:
    """A project with both recipes, their tokens and an empty record."""
    shipped = folder.with_name("gpt2.yaml")
    shipped.write_text(GPT2, encoding="utf-8")
    project = make_project(folder, {"shakespeare": ROOT / "recipes" / "shakespeare.yaml", "gpt2": shipped})
    write_code(project)
    (project / "mlflow.db").write_bytes(empty_database())
    command(project, sys.executable, "-m", "tasks.ingest", "shakespeare")
    texts = read_texts(project / "data" / "shakespeare" / "raw")
    for name, recipe in _recipes(project).items():
        (project / "data" / name / "base").mkdir(parents=True)
        _write_tokens(project / "data" / name, texts, recipe["tokenize"]["vocab_size"])
        path = project / "recipes" / f"{name}.yaml"
        path.write_text(_measured(path.read_text(encoding="utf-8"), recipe, CHECKPOINTS[name]), encoding="utf-8")
    return project


def _measured(text: str, recipe: dict[str, Any], every: int) -> str:
    """A recipe with a line of the journal and a checkpoint more often; the keys are there or after `train:`."""
    for key, value in {"log_every": 1, "checkpoint_every": every}.items():
        if key in recipe["train"]:
            text = text.replace(f"  {key}: {recipe['train'][key]}\n", f"  {key}: {value}\n")
        else:
            text = text.replace("train:\n", f"train:\n  {key}: {value}\n")
    return text


def _write_tokens(folder: Path, texts: list[str], size: int) -> None:
    """tokenizer/ and tokens/ of both splits, of all texts, without cleaning them first."""
    import numpy as np
    import pyarrow as pa

    from tasks.formats.tokens import TokenWriter
    from tasks.tokenize.settings import TokenizeSettings
    from tasks.tokenize.specials import specials_of
    from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary

    settings = TokenizeSettings(vocab_size=size)
    specials = specials_of("causal-lm", settings)
    bpe = train_vocabulary(lambda: [pa.array(texts, pa.large_string())], settings, specials)
    save_vocabulary(bpe, specials, folder / "tokenizer")
    rows = [np.array([*row.ids, 0], np.uint16) for row in bpe.encode_batch_fast(texts, add_special_tokens=False)]
    for split, part in {"train": slice(None), "validation": slice(40)}.items():
        writer = TokenWriter(folder / "tokens" / split, bpe.get_vocab_size(), 0, "hash")
        for row, text in zip(rows[part], texts[part], strict=True):
            writer.write(row, np.array([len(row)], np.int64), len(text.encode()))
        writer.close()


def _run(project: Path, name: str, kind: str, seen: Kind) -> None:
    """Train once and add what was seen."""
    steps, threads = STEPS[name], str(workers())
    began = time.time()
    if kind in (PEER, PEER_COMPILED):
        done = command(
            project, sys.executable, "-m", "benchmarks.trainer", name, str(steps), kind.partition(", ")[2] or EAGER,
            PYTHONPATH=f"{project}:{ROOT}", OMP_NUM_THREADS=threads,
        )  # fmt: skip
        times = json.loads(done.stdout.splitlines()[-1])
        every = steps
    else:
        shutil.rmtree(project / "data" / name / "checkpoints", ignore_errors=True)
        how = {EAGER: "off", COMPILED: "on"}[kind]
        done = command(
            project, sys.executable, "-m", "tasks.train", name, check=False,
            GRISTMILL_STOP_AFTER=str(steps), GRISTMILL_COMPILE=how, GRISTMILL_WORKERS=threads, GRISTMILL_DEVICE="cpu",
        )  # fmt: skip
        if "stopped after step" not in done.stderr:
            raise AssertionError(done.stderr)
        (journal,) = project.glob(f"data/{name}/checkpoints/*/record.jsonl")
        entries = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines() if line]
        times = [entry["time"] for entry in entries if "loss" in entry.get("metrics", {})]
        every = CHECKPOINTS[name]
    lasted = [after - before for before, after in pairwise(times)]  # lasted[i]: that of step i + 2
    after = [step for step in range(steps // 3, steps - WINDOW) if step % every == 0]
    near = {step + offset for step in after for offset in range(1, WINDOW + 1)}
    free = [seconds for step, seconds in enumerate(lasted, 2) if step > steps // 3 and step not in near]
    usual = median(free)
    seen.starts.append(times[0] - began)
    seen.steps += free
    seen.checkpoints += [times[step + WINDOW - 1] - times[step - 1] - WINDOW * usual for step in after]


def peak(dtype: Any) -> float:
    """GF/s of a large square matrix product, the best of several."""
    import torch

    a, b = torch.randn(SIZE, SIZE).to(dtype), torch.randn(SIZE, SIZE).to(dtype)
    return 2 * SIZE**3 / best(lambda: a @ b, 8, time.perf_counter) / 1e9


def size_of(project: Path, name: str) -> tuple[int, float]:
    """Parameters of a recipe's model, and FLOPs per token, forward and backward."""
    import torch

    from benchmarks.trainer import make_model

    recipe = _recipes(project)[name]
    with torch.device("meta"):
        model = make_model(recipe)
    return sum(p.numel() for p in model.parameters()), flops(model, recipe["train"]["context_length"])
