"""Out of memory on a GPU: the need is measured, and the sentence says what to change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError
from tasks.train import loop
from tasks.train.batches import Data, find_asked
from tasks.train.loop import Training, fit
from tasks.train.memory import GIB, Need, advice, measure
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.settings import ChatTraining, PackedTraining
from tests.train.test_gpu import LENGTH, Padded, build
from tests.train.test_loop import Record


def plan_of(folder: Path, settings: Any) -> Plan:
    batches = Padded(pairs=False)
    return Plan("recipes/big.yaml", settings, Machine("cpu", "fp32", "sdpa"), Data(batches, batches), folder, None)


def saved(work: Callable[[], None]) -> int:
    """Bytes that a backward pass keeps: what a CPU can tell of a peak."""
    import torch

    sizes: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    return sum(sizes.values())


def test_the_need_is_that_of_weights_gradients_optimizer_and_tokens(tmp_path: Path) -> None:
    model = build("gpt2")
    size = sum(weight.numel() for weight in model.parameters())
    matrices = 2 * 12 * 128 * 128
    adamw, muon = (
        measure(
            model, plan_of(tmp_path, PackedTraining.model_validate({"steps": 1, "optimizer": {"name": name}})), saved
        )
        for name in ("adamw", "muon")
    )
    assert (adamw.weights, adamw.gradients, adamw.optimizer) == (4 * size, 4 * size, 8 * size)
    assert muon.optimizer == 8 * size - 4 * matrices
    assert all(weight.grad is None for weight in model.parameters())
    plan = plan_of(tmp_path, PackedTraining(steps=1))
    batch = find_asked({name: part[:4] for name, part in plan.data.training.batch(0).items()})
    whole = saved(lambda: plan.loss(model, batch).backward())
    assert adamw.once + adamw.per_token * 4 * LENGTH == pytest.approx(whole, rel=0.02)
    model.zero_grad()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    less = measure(model, plan_of(tmp_path, PackedTraining(steps=1)), saved)
    assert less.per_token < 0.7 * adamw.per_token


@pytest.mark.parametrize(
    ("need", "free", "settings", "end"),
    [
        (
            Need(GIB, GIB, 2 * GIB, 0, 2.4 * 2**20), 24,
            PackedTraining(steps=1, batch_size=16, context_length=1024),
            "batch_size: 16 needs about 42.4 GiB (4.0 GiB: weights 1.0, gradients 1.0, optimizer 2.0, copies 0.0, and "
            "2.40 MiB for each of 16,384 tokens), and the cpu device has 24.0 GiB; batch_size: 4 with accumulation: 4 "
            "takes the same steps, or try gradient_checkpointing: true",
        ),
        (
            Need(GIB, GIB, 2 * GIB, GIB, 2**20), 8,
            ChatTraining(steps=1, batch_tokens=4096, accumulation=2, gradient_checkpointing=True),
            "; batch_tokens: 2048 with accumulation: 4 takes about the same steps",
        ),
        (
            Need(GIB, GIB, 2 * GIB, 0, 2**20), 5, PackedTraining(steps=1, batch_size=4, context_length=2048),
            "and the cpu device has 5.0 GiB; use gradient_checkpointing: true, or a smaller context_length",
        ),
        (
            Need(4 * GIB, 4 * GIB, 8 * GIB, 0, 2**20), 8, PackedTraining(steps=1),
            "train: out of memory: the model alone needs 16.0 GiB: weights 4.0, gradients 4.0, optimizer 8.0, copies "
            "0.0, and the cpu device has 8.0 GiB; use gradient_checkpointing: true, a smaller model, or LoRA "
            "(model.lora)",
        ),
        (
            None, 8, PackedTraining(steps=1, gradient_checkpointing=True),
            "even one row does not fit, and the cpu device has 8.0 GiB; use a smaller model, or LoRA (model.lora)",
        ),
    ],
)  # fmt: skip
def test_the_sentence_says_what_to_change(
    tmp_path: Path, need: Need | None, free: int, settings: Any, end: str
) -> None:
    assert advice(need, free * GIB, plan_of(tmp_path, settings)).endswith(end)


def test_a_full_gpu_ends_in_the_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def step(self: Training, number: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    def explain(model: Any, plan: Plan) -> str:
        return advice(measure(model, plan, saved), GIB // 4, plan)

    monkeypatch.setattr(Training, "_step", step)
    monkeypatch.setattr(loop, "out_of_memory", explain)
    plan = plan_of(tmp_path, PackedTraining(steps=2, batch_size=32, context_length=LENGTH))
    with pytest.raises(
        GristmillError, match=r"^recipes/big.yaml: train.batch_size: 32 needs about 0.\d GiB .*; batch_size: "
    ) as caught:
        fit(build("gpt2"), plan, Record())  # type: ignore[arg-type]
    assert caught.value.__context__ is None, "the step's memory is still held"
