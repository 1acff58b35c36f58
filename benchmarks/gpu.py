"""Training on a GPU: `python -m benchmarks.gpu`, in under 8 minutes, prints a table and writes it to $OUT/gpu.md.

It needs torch, transformers, accelerate, pydantic and numpy. GPT-2 with 124M parameters and a Llama with 341M train
with the project's own loop from random tokens, eager and compiled; then two trainings and a stopped one are compared
byte by byte, and a model generates. Every part is a process of its own, so that one which fails leaves the others;
none begins that could end too late. `--small --cpu` runs it all with tiny models; a list of parts runs these.

FLOPs per token as in `benchmarks.training`: 6 per weight of a matrix product, head included, and 12 · layers · width ·
context for attention, whether masked or not. The peak is that of a matrix product on this card.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS = 450
"""No part begins after this; each may take as long as is left, and 20 more."""
GPT2 = {"vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
LLAMA = {
    "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "tie_word_embeddings": True,
}  # fmt: skip
SMALL_GPT2 = {"vocab_size": 500, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
SMALL_LLAMA = {
    **LLAMA, "vocab_size": 500, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and how it is trained."""

    title: str
    architecture: str
    config: dict[str, Any]
    batch_size: int
    accumulation: int
    context_length: int
    optimizer: str = "adamw"
    checkpointing: bool = False


CASES = {
    "gpt2": Case("GPT-2 124M", "gpt2", GPT2, 32, 2, 1024),
    "llama": Case("Llama 341M", "llama", LLAMA, 8, 4, 2048),
    "muon": Case("GPT-2 124M, Muon", "gpt2", GPT2, 32, 2, 1024, "muon"),
    "checkpointing": Case("GPT-2 124M, gradient checkpointing", "gpt2", GPT2, 32, 2, 1024, checkpointing=True),
}
SMALL = {
    name: dataclasses.replace(
        case, config=SMALL_GPT2 if case.architecture == "gpt2" else SMALL_LLAMA, batch_size=2, context_length=32
    )
    for name, case in CASES.items()
}
PARTS = (
    "peak", "gpt2-compiled", "gpt2-eager", "same-compiled", "same-eager", "llama-compiled", "llama-eager",
    "generation", "muon-compiled", "checkpointing-eager",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Place:
    """Where it runs, and at what size."""

    device: str
    small: bool

    @property
    def cases(self) -> dict[str, Case]:
        """The models."""
        return SMALL if self.small else CASES


def main(arguments: list[str] | None = None) -> int:
    """Run parts, print the table; returns how many failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--cpu", action="store_true", help="on the CPU")
    parser.add_argument("--small", action="store_true", help="tiny models, to see that it runs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    place = Place("cpu" if given.cpu else "cuda", given.small)
    if given.inside:
        print(json.dumps(measure(given.parts[0], place)))
        return 0
    began, found = time.monotonic(), {}
    for part in given.parts or PARTS:
        left = SECONDS - (time.monotonic() - began)
        found[part] = _apart(part, place, left + 20) if left > 0 else {"failed": "not begun: out of time"}
        print(f"{part:20} {time.monotonic() - began:5.0f} s  {json.dumps(found[part])}", flush=True)
        lines = table(found)
        if out := os.environ.get("OUT"):
            Path(out, "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
            Path(out, "gpu.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("\n".join(["", *lines]))
    return sum("failed" in values for values in found.values())


def _apart(part: str, place: Place, timeout: float) -> dict[str, Any]:
    """The measurements of a part in a process of its own, or why it failed."""
    flags = ["--cpu"] * (place.device == "cpu") + ["--small"] * place.small
    command = [sys.executable, "-m", "benchmarks.gpu", part, "--inside", *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {timeout:.0f} s"}
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return {"failed": (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(part: str, place: Place) -> dict[str, Any]:
    """The measurements of a part, in this process."""
    if part == "peak":
        return peak(place)
    if part == "generation":
        return generation(place)
    name, _, mode = part.rpartition("-")
    compiled = mode == "compiled"
    return same(place, compiled) if name == "same" else speed(place.cases[name], place, compiled)


def peak(place: Place) -> dict[str, Any]:
    """TFLOP/s of a bf16 matrix product, and the card."""
    import torch

    size, times = (8192, 50) if place.device == "cuda" else (256, 5)
    a, b = (torch.randn(size, size, device=place.device, dtype=torch.bfloat16) for _ in range(2))
    rates = []
    for _ in range(4):
        began = _now(place)
        for _ in range(times):
            a @ b
        rates.append(2 * size**3 * times / (_now(place) - began) / 1e12)
    on_gpu = place.device == "cuda"
    card = torch.cuda.get_device_name() if on_gpu else torch.cpu.get_capabilities().get("cpu_name") or "CPU"
    return {"tflops": statistics.median(rates[1:]), "card": card, "torch": torch.__version__}


def speed(case: Case, place: Place, compiled: bool) -> dict[str, Any]:
    """Tokens/s, FLOPs per token and memory of a training."""
    import torch

    steps = 60 if place.device == "cuda" and compiled else 30
    steps = 3 if place.small else steps
    model = _model(case)
    with tempfile.TemporaryDirectory() as folder:
        record = _train(model, case, place, compiled, Path(folder), steps, log_every=max(steps // 6, 1))
    speeds = record.speeds[len(record.speeds) // 2 :]
    most = torch.cuda.max_memory_allocated() if place.device == "cuda" else 0
    return {
        "title": case.title,
        "mode": "compiled" if compiled else "eager",
        "tokens_per_second": statistics.median(speeds),
        "flops_per_token": flops(model, case.context_length),
        "gib": most / 2**30,
        "first_row_tokens_per_second": record.speeds[0],
        "last_loss": record.losses[-1],
    }


def same(place: Place, compiled: bool) -> dict[str, Any]:
    """Whether two trainings, and one that is stopped and goes on, end with the same bytes."""
    case = dataclasses.replace(place.cases["gpt2"], accumulation=1, batch_size=4)

    def ended(folder: Path) -> str:
        model = _model(case)
        _train(model, case, place, compiled, folder, 6, checkpoint_every=2)
        digest = hashlib.sha256()
        for name, weight in sorted(model.state_dict().items()):
            digest.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        first, second = ended(folder / "first"), ended(folder / "second")
        os.environ["GRISTMILL_STOP_AFTER"] = "5"
        try:
            ended(folder / "stopped")
        except Exception as stop:
            if "GRISTMILL_STOP_AFTER" not in str(stop):
                raise
        del os.environ["GRISTMILL_STOP_AFTER"]
        resumed = ended(folder / "stopped")
    mode = "compiled" if compiled else "eager"
    return {"mode": mode, "twice": first == second, "resumed": first == resumed, "sha256": first[:16]}


def generation(place: Place) -> dict[str, Any]:
    """Tokens/s of GPT-2 that continues 64 texts greedily in bf16."""
    import torch

    case = place.cases["gpt2"]
    rows, new = (2, 8) if place.small else (64, 256)
    model = _model(case).to(place.device, torch.bfloat16).eval()
    ids = torch.randint(0, case.config["vocab_size"], (rows, 16), device=place.device)
    given = {"attention_mask": torch.ones_like(ids), "do_sample": False, "pad_token_id": 0, "use_cache": True}
    model.generate(ids, max_new_tokens=4, min_new_tokens=4, **given)
    began = _now(place)
    model.generate(ids, max_new_tokens=new, min_new_tokens=new, **given)
    return {"title": case.title, "tokens_per_second": rows * new / (_now(place) - began), "rows": rows}


class Record:
    """Keeps what a training logs."""

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self.losses: list[float] = []

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Called by the loop."""
        if "tokens_per_second" in metrics:
            self.speeds.append(metrics["tokens_per_second"])
            self.losses.append(metrics["loss"])


def _train(
    model: Any, case: Case, place: Place, compiled: bool, folder: Path, steps: int, log_every: int = 2,
    checkpoint_every: int = 1000,
) -> Record:  # fmt: skip
    """A training by the project's loop, from random tokens."""
    from tasks.train.batches import Data
    from tasks.train.loop import fit
    from tasks.train.plan import Plan
    from tasks.train.precision import Machine
    from tasks.train.settings import PackedTraining
    from tasks.train.work import make_deterministic

    settings = PackedTraining.model_validate({
        "steps": steps, "batch_size": case.batch_size, "accumulation": case.accumulation, "log_every": log_every,
        "context_length": case.context_length, "evaluate_every": steps, "checkpoint_every": checkpoint_every,
        "optimizer": {"name": case.optimizer, "learning_rate": 6e-4, "betas": (0.9, 0.95), "weight_decay": 0.1},
        "schedule": {"warmup_steps": 2},
    })  # fmt: skip
    machine = Machine(place.device, "bf16", "sdpa", compiled=compiled)
    make_deterministic(0, machine)
    if case.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    batches = random_batches(case)
    folder.mkdir(exist_ok=True)
    record = Record()
    fit(model, Plan("benchmarks/gpu.py", settings, machine, Data(batches, batches), folder, None), record)  # type: ignore[arg-type]
    return record


def random_batches(case: Case) -> Any:
    """Random tokens by position."""
    import numpy as np
    import torch

    from tasks.train.batches import Batch, Batches

    class Random(Batches):
        count, width = 1, case.context_length

        def batch(self, position: int) -> Batch:
            shape = (case.batch_size, case.context_length)
            ids = np.random.default_rng(position).integers(0, case.config["vocab_size"], shape)
            labels = np.full_like(ids, -100)
            labels[:, :-1] = ids[:, 1:]
            return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}

    return Random()


def _model(case: Case) -> Any:
    """The model of a case with the weights of seed 0, in float32."""
    import torch
    import transformers

    from tasks.train.activations import fuse_activations

    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    more = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if case.architecture == "gpt2" else {}
    more |= {"bos_token_id": 0, "eos_token_id": 0}
    config = transformers.AutoConfig.for_model(case.architecture, **case.config, **more)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float()
    model.config.use_cache = False
    fuse_activations(model)
    return model


def flops(model: Any, context: int) -> int:
    """FLOPs per token, forward and backward."""
    import torch

    embedded = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    multiplied = sum(p.numel() for p in model.parameters() if p.ndim == 2 and id(p) not in embedded)
    head = model.get_output_embeddings().weight
    if id(head) in embedded:
        multiplied += head.numel()
    config = model.config
    return int(6 * multiplied + 12 * config.num_hidden_layers * config.hidden_size * context)


def _now(place: Place) -> float:
    """Seconds, after all queued work."""
    import torch

    if place.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The measurements as Markdown."""
    top = found.get("peak", {})
    most = top.get("tflops")
    head = f"{top.get('card', 'unknown card')}, torch {top.get('torch', '?')}"
    if most:
        head += f"; a bf16 matrix product reaches {most:,.4g} TFLOP/s"
    lines = [
        head,
        "",
        "| training in bf16 | | tokens/s | TFLOP/s | share of the peak | memory |",
        "|---|---|---|---|---|---|",
    ]
    more = []
    for part, values in found.items():
        if "failed" in values:
            more.append(f"- {part}: failed: {values['failed']}")
        elif "flops_per_token" in values:
            rate = values["tokens_per_second"] * values["flops_per_token"] / 1e12
            share = f"{rate / most:.0%}" if most else "?"
            told = f"{values['tokens_per_second']:,.0f} | {rate:,.4g} | {share} | {values['gib']:.1f} GiB"
            lines.append(f"| {values['title']} | {values['mode']} | {told} |")
        elif "twice" in values:
            said = [f"{name}: {'the same bytes' if values[name] else 'OTHER BYTES'}" for name in ("twice", "resumed")]
            more.append(f"- GPT-2 {values['mode']}, {', '.join(said)}")
        elif part == "generation":
            more.append(f"- generation, {values['rows']} texts at once: {values['tokens_per_second']:,.0f} tokens/s")
    return [*lines, "", *more]


if __name__ == "__main__":
    sys.exit(main())
