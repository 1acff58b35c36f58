"""Training on a GPU gives the same bytes twice and over a stop, for rows as long as real ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.machine import refusal
from tasks.train import checkpoints, chunked, head
from tasks.train.batches import Batch, Batches, Data, find_asked
from tasks.train.loop import fit
from tasks.train.loss import summed_loss
from tasks.train.memory import out_of_memory
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.settings import PackedTraining
from tasks.train.work import make_deterministic
from tests.train.test_loop import Record

ROWS, LENGTH, WORDS = 32, 384, 1000
WIDE = {
    "vocab_size": WORDS,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}
PAIR = {
    "vocab_size": WORDS, "d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256, "pad_token_id": 0,
    "decoder_start_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("AutoModelForCausalLM", {"vocab_size": WORDS, "n_embd": 128, "n_layer": 2, "n_head": 4}),
    "qwen3": ("AutoModelForCausalLM", {**WIDE, "num_key_value_heads": 2, "head_dim": 32}),
    "modernbert": ("AutoModelForMaskedLM", {**WIDE, "pad_token_id": 0}),
    "marian": ("AutoModelForSeq2SeqLM", PAIR),
}


class Padded(Batches):
    """Rows of different lengths; a decoder reads the same."""

    count, width = 1, LENGTH

    def __init__(self, pairs: bool) -> None:
        self.pairs = pairs

    def batch(self, position: int) -> Batch:
        import torch

        generator = torch.Generator().manual_seed(position)
        ids = torch.randint(2, WORDS, (ROWS, LENGTH), generator=generator)
        mask = torch.arange(LENGTH) < torch.randint(40, LENGTH, (ROWS, 1), generator=generator)
        batch = {"input_ids": ids * mask, "attention_mask": mask.long(), "labels": ids.masked_fill(~mask, -100)}
        return batch | ({"decoder_input_ids": batch["input_ids"]} if self.pairs else {})


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("architecture", MODELS)
def test_the_same_weights_twice_and_over_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, precision: str, chunks: bool
) -> None:
    import torch

    if chunks:
        monkeypatch.setattr(head, "LARGE", 1)
        monkeypatch.setitem(chunked.CHUNK, "cuda", 1000 * WORDS)

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")

    def trained(folder: Path, model: Any) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        settings = PackedTraining(steps=6, checkpoint_every=3, log_every=3, optimizer={"name": "adamw"})
        fit(model, replace(plan, folder=folder, settings=settings), Record())  # type: ignore[arg-type]
        return {name: weight.cpu() for name, weight in model.state_dict().items()}

    machine = Machine("cuda", precision, "sdpa")
    batches = Padded(pairs=MODELS[architecture][1] is PAIR)
    plan = Plan("recipes/tiny.yaml", PackedTraining(steps=6), machine, Data(batches, batches), tmp_path, None)
    make_deterministic(0, machine)
    try:
        first = trained(tmp_path / "first", build(architecture))
        second = trained(tmp_path / "second", build(architecture))
        with monkeypatch.context() as patch, pytest.raises(InterruptedError):
            patch.setattr(checkpoints, "save", save_and_stop)
            trained(tmp_path / "stopped", build(architecture))
        resumed = trained(tmp_path / "stopped", build(architecture))
    finally:
        torch.use_deterministic_algorithms(False)
    for other in (second, resumed):
        assert [name for name, weight in first.items() if not torch.equal(weight, other[name])] == []


def test_the_loss_in_chunks_and_the_need_of_memory_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    batch = {name: part.cuda() for name, part in find_asked(Padded(pairs=False).batch(0)).items()}

    def measured() -> tuple[float, Any]:
        model = build("qwen3").cuda()
        head.find_tail(model, batch)
        loss = summed_loss(model, batch, 0.1)
        loss.backward()
        return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters()])

    loss, slopes = measured()
    monkeypatch.setattr(head, "LARGE", 1)
    monkeypatch.setitem(chunked.CHUNK, "cuda", 1000 * WORDS)
    found, others = measured()
    assert found == pytest.approx(loss, rel=1e-5)
    assert (others - slopes).norm() < 1e-4 * slopes.norm()

    batches = Padded(pairs=False)
    plan = Plan(
        "recipes/big.yaml", PackedTraining(steps=1), Machine("cuda", "fp32", "sdpa"), Data(batches, batches), tmp_path,
        None,
    )  # fmt: skip
    assert out_of_memory(build("gpt2").cuda(), plan).startswith("recipes/big.yaml: train.batch_size: 16 needs about ")


def build(architecture: str) -> Any:
    """A small model with the weights of seed 0."""
    import torch
    import transformers

    auto, shape = MODELS[architecture]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(architecture, **shape)
    return getattr(transformers, auto).from_config(config, attn_implementation="sdpa")


def save_and_stop(*arguments: Any, save: Any = checkpoints.save) -> None:
    """Write a checkpoint and stop."""
    save(*arguments)
    raise InterruptedError


def test_an_operation_that_gives_other_numbers_each_time_is_refused_in_words() -> None:
    import torch

    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError) as caught:
            torch.zeros(3).put_(torch.tensor([1]), torch.tensor([1.0]))
    finally:
        torch.use_deterministic_algorithms(False)
    assert refusal(caught.value) == (
        "put_ gives other numbers each time on this GPU; train another architecture, or on the CPU"
    )
