"""The loss in chunks has the numbers of whole logits, whatever a model does with its logits, and needs less memory."""

import subprocess
import sys
from typing import Any

import pytest

from tasks.formats.rows import IGNORED
from tasks.train import chunked, head
from tasks.train.batches import Batch, find_asked
from tasks.train.head import find_tail, head_of
from tasks.train.loss import row_losses, summed_loss
from tests.train.test_families import MODELS

VOCABULARY = 50
LLAMA = {**MODELS["llama"], "pad_token_id": 0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", MODELS["gpt2"]),
    "llama": ("llama", LLAMA),
    "granite": ("granite", {**LLAMA, "logits_scaling": 8.0}),
    "cohere": ("cohere", {**LLAMA, "logit_scale": 0.25}),
    "gemma2": ("gemma2", {**LLAMA, "num_key_value_heads": 1, "head_dim": 8, "final_logit_softcapping": 3.0}),
    "bert": ("bert", MODELS["bert"]),
    "marian": ("marian", {**MODELS["marian"], "pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 1}),
    "t5": ("t5", MODELS["t5"]),
}


def make(case: str) -> Any:
    """A small model whose logits are large enough for a cap to bend them."""
    import torch
    import transformers

    torch.manual_seed(0)
    architecture, shape = CASES[case]
    config = transformers.AutoConfig.for_model(architecture, vocab_size=VOCABULARY, **shape)
    kind = "MaskedLM" if case == "bert" else "Seq2SeqLM" if config.is_encoder_decoder else "CausalLM"
    model: Any = getattr(transformers, f"AutoModelFor{kind}").from_config(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight *= 20
        if case == "marian":
            model.final_logits_bias.normal_()
    return model


def make_batch(model: Any, few: bool) -> Batch:
    """Rows of which few or most tokens have a target."""
    import torch

    ids = torch.randint(3, VOCABULARY, (4, 12))
    labels = torch.full_like(ids, IGNORED)
    labels[:, (8 if few else 1) : -1] = ids[:, (9 if few else 2) :]
    pairs = {"decoder_input_ids": ids.flip(1)} if model.config.is_encoder_decoder else {}
    return find_asked({"input_ids": ids, "labels": labels, **pairs})


def gradients(model: Any, loss: Any) -> dict[str, Any]:
    """The gradients of a loss."""
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(
    ("case", "few"), [(case, few) for case in (*CASES, "llama checkpointed") for few in (False, True)]
)
def test_losses_and_gradients_in_chunks_are_those_of_whole_logits(
    monkeypatch: pytest.MonkeyPatch, case: str, few: bool
) -> None:
    import torch

    model = make(case.split()[0])
    if "checkpointed" in case:
        model.train().gradient_checkpointing_enable({"use_reentrant": False})
    batch = make_batch(model, few)
    factors = torch.tensor([1.0, -2.0, 0.5, 0.0])

    def measured() -> list[tuple[Any, dict[str, Any]]]:
        losses = [summed_loss(model, batch), summed_loss(model, batch, 0.1), row_losses(model, batch) @ factors]
        return [(loss, gradients(model, loss)) for loss in losses]

    whole = measured()
    sizes = []
    monkeypatch.setattr(head, "LARGE", 1)
    monkeypatch.setitem(chunked.CHUNK, "cpu", 7 * VOCABULARY)
    monkeypatch.setitem(chunked.ALIGNED, "cpu", 16)  # as on a GPU: 50 columns become 64
    find_tail(model, batch)
    model.get_output_embeddings().register_forward_hook(lambda module, given, made: sizes.append(made.numel()))
    for (loss, found), (wanted, slopes) in zip(measured(), whole, strict=True):
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
        assert found.keys() == slopes.keys()
        for name, slope in slopes.items():
            assert torch.allclose(found[name], slope, rtol=1e-4, atol=1e-7 + 1e-5 * float(slope.abs().max())), name
    assert max(sizes) <= 4 * VOCABULARY  # the model itself makes the logits of one token of a row


def test_a_tail_that_is_not_known_computes_whole_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Odd(torch.nn.Module):
        def __init__(self, change: Any) -> None:
            super().__init__()
            self.model, self.change, self.extra = make("llama"), change, torch.nn.Parameter(torch.zeros(VOCABULARY))

        def get_output_embeddings(self) -> Any:
            return self.model.get_output_embeddings()

        def forward(self, **inputs: Any) -> Any:
            outputs = self.model(**inputs)
            outputs.logits = self.change(outputs.logits, self.extra)
            return outputs

    monkeypatch.setattr(head, "LARGE", 1)
    for change in (lambda y, extra: y + extra, lambda y, _: y.relu(), lambda y, _: y[..., :-1]):
        model: Any = Odd(change)
        batch = make_batch(model.model, few=False)
        find_tail(model, batch)
        assert head_of(model).tail is None
    batch["labels"][batch["labels"] == VOCABULARY - 1] = 0
    loss = summed_loss(model, batch)
    logits = model(input_ids=batch["input_ids"]).logits
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_in_bf16_the_gradients_are_as_near_to_those_of_float32_as_those_of_whole_logits() -> None:
    import torch

    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32), torch.randn(300, 32) / 4
    labels = torch.randint(0, 300, (64,))

    def slopes(dtype: Any, in_chunks: bool) -> Any:
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if in_chunks:
            loss = chunked.summed()(h.to(dtype), w, None, labels, 0.0, 0.0)
        else:
            logits = (h.to(dtype) @ w.to(dtype).T).float()
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        (loss / 64).backward()
        return torch.cat([h.grad, w.grad])  # type: ignore[list-item]

    exact = slopes(torch.float32, in_chunks=False)
    assert torch.allclose(slopes(torch.float32, in_chunks=True), exact, rtol=1e-5, atol=1e-7)
    whole, parts = ((slopes(torch.bfloat16, way) - exact).norm() / exact.norm() for way in (False, True))
    assert parts <= 1.05 * whole < 0.02


@pytest.mark.parametrize("by_row", [False, True])
def test_a_compiler_takes_the_loss_as_one_graph(monkeypatch: pytest.MonkeyPatch, by_row: bool) -> None:
    import torch

    monkeypatch.setattr(head, "LARGE", 1)
    monkeypatch.setattr(chunked, "_kernel", lambda: chunked._measure)
    model = make("llama")
    batch = make_batch(model, few=False)
    find_tail(model, batch)

    def loss(batch: Batch) -> Any:
        return row_losses(model, batch).square().sum() if by_row else summed_loss(model, batch, 0.1)

    wanted = gradients(model, loss(batch))
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    found = gradients(model, compiled(batch))
    assert all(torch.allclose(found[name], slope, rtol=1e-4, atol=1e-6) for name, slope in wanted.items())


def test_large_logits_are_never_whole_in_memory() -> None:
    script = (
        "import resource, torch\n"
        "from tasks.train import chunked\n"
        "hidden, weight = torch.randn(2048, 8, requires_grad=True), torch.randn(50257, 8, requires_grad=True)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "labels = torch.randint(0, 50257, (2048,))\n"
        "chunked.summed()(hidden, weight, None, labels, 0.0, 0.0).backward()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(made.stdout) * 1024 < 2048 * 50257 * 4  # whole, logits and what follows them take three times that
