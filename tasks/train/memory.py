"""What a training needs of a GPU's memory, measured, and what to change if that is more than the GPU has."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.train.batches import count_items, find_asked
from tasks.train.optimizers import split_parameters
from tasks.train.plan import Plan
from tasks.train.settings import BucketTraining, ChatTraining, MuonSettings, PackedTraining, PreferenceTraining

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GIB = 2**30
FULL = 0.95
"""Fraction of the free memory that is used at most: allocators lose some between tensors."""
WORDY = (BucketTraining, ChatTraining, PreferenceTraining)
"""Settings with `batch_tokens`."""


@dataclass(frozen=True)
class Need:
    """Bytes that a training needs."""

    weights: int
    gradients: int
    optimizer: int
    once: int
    """For any batch: copies of weights in another precision, a chunk of logits."""
    per_token: float
    """For each token of a batch, padding counted."""

    @property
    def fixed(self) -> int:
        """Whatever the batch."""
        return self.weights + self.gradients + self.optimizer + self.once

    def of(self, tokens: int) -> float:
        """With batches of so many tokens."""
        return self.fixed + self.per_token * tokens


def out_of_memory(model: "PreTrainedModel", plan: Plan) -> str:
    """The sentence for a training that a GPU had too little memory for; measures one row, and two, of a batch."""
    import torch

    model.zero_grad()
    gc.collect()
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()

    def peak(work: Callable[[], None]) -> int:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before

    try:
        need: Need | None = measure(model, plan, peak)
    except torch.OutOfMemoryError:
        need = None
    return advice(need, free, plan)


def measure(model: "PreTrainedModel", plan: Plan, peak: Callable[[Callable[[], None]], int]) -> Need:
    """What a training needs. `peak`: runs some work and returns how many bytes it had at most."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    batch = plan.data.training.batch(0)
    place = next(model.parameters()).device

    def work(rows: int) -> Callable[[], None]:
        # Pairs: first the rows of all chosen answers, then those of all rejected ones; a row of each stands for one.
        some = {name: part[:rows] for name, part in batch.items()}
        if "pairs" in batch:
            half = len(batch["pairs"])
            some = {
                name: part[:rows] if len(part) == half else part[list(range(rows)) + list(range(half, half + rows))]
                for name, part in batch.items()
            }
        given = {name: part.to(place) for name, part in find_asked(some).items()}

        def run() -> None:
            (plan.loss(model, given) / max(count_items(given), 1)).backward()

        return run

    work(1)()  # so that there are gradients
    one, two = peak(work(1)), peak(work(min(2, len(batch["labels"]))))
    model.zero_grad()
    tokens = batch["input_ids"][:1].numel() * (2 if "pairs" in batch else 1)
    if "decoder_input_ids" in batch:
        tokens += batch["decoder_input_ids"][:1].numel()
    row = max(two - one, 0) or one
    groups = split_parameters(model)
    single = sum(p.numel() for p in groups["matrices"]) if isinstance(plan.settings.optimizer, MuonSettings) else 0
    size = sum(parameter.numel() for parameter in trained)
    return Need(
        weights=sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()),
        gradients=4 * size,
        optimizer=4 * (2 * size - single),  # AdamW keeps two numbers of each weight, Muon one
        once=max(one - row, 0),
        per_token=row / tokens,
    )


def advice(need: Need | None, free: int, plan: Plan) -> str:
    """The sentence: what is needed, what is there, and what to change."""
    settings, where = plan.settings, f"{plan.where}: train"
    there = f"the {plan.machine.device} device has {free / GIB:.1f} GiB"
    saving = "" if settings.gradient_checkpointing else "gradient_checkpointing: true, "
    if need is None or need.fixed > FULL * free:
        least = "even one row does not fit" if need is None else f"the model alone needs {_parts(need)}"
        return f"{where}: out of memory: {least}, and {there}; use {saving}a smaller model, or LoRA (model.lora)"
    tokens = settings.tokens_per_batch()
    key = "batch_tokens" if isinstance(settings, WORDY) else "batch_size"
    given: int = getattr(settings, key)
    said = (
        f"{where}.{key}: {given} needs about {need.of(tokens) / GIB:.1f} GiB ({_parts(need)}, and "
        f"{need.per_token / 2**20:.2f} MiB for each of {tokens:,} tokens), and {there}; "
    )
    parts = next((n for n in range(2, given + 1) if given % n == 0 and need.of(tokens // n) <= FULL * free), None)
    if parts is None:
        length = (
            "context_length" if isinstance(settings, PackedTraining | ChatTraining | PreferenceTraining) else "lengths"
        )
        return said + f"use {saving}or a smaller {length}"
    steps = "the same steps" if key == "batch_size" else "about the same steps"
    other = "" if settings.gradient_checkpointing else ", or try gradient_checkpointing: true"
    return said + (f"{key}: {given // parts} with accumulation: {settings.accumulation * parts} takes {steps}{other}")


def _parts(need: Need) -> str:
    return (
        f"{need.fixed / GIB:.1f} GiB: weights {need.weights / GIB:.1f}, gradients {need.gradients / GIB:.1f}, "
        f"optimizer {need.optimizer / GIB:.1f}, copies {need.once / GIB:.1f}"
    )
