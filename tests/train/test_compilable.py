import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tasks.formats.rows import IGNORED
from tasks.train.compilable import cross_entropy, keep_rotations


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [0.0, 3.0, 1e4])
def test_cross_entropy_and_its_gradient_are_those_of_torch(smoothing: float, scale: float) -> None:
    torch.manual_seed(0)
    logits, labels = scale * torch.randn(40, 19), torch.randint(19, (40,))
    labels[::7] = IGNORED
    found = []
    for function in (
        lambda rows: cross_entropy(rows, labels, smoothing),
        lambda rows: torch.nn.functional.cross_entropy(
            rows, labels, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        ),
    ):
        rows = logits.clone().requires_grad_()
        loss = function(rows)
        loss.backward()
        found.append((loss.detach(), rows.grad))
    (loss, gradient), (expected, slopes) = found
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, slopes)
    assert not gradient[::7].any()


def test_rows_without_a_label_have_neither_loss_nor_gradient() -> None:
    rows = torch.randn(3, 5, requires_grad=True)
    loss = cross_entropy(rows, torch.full((3,), IGNORED))
    loss.backward()
    assert loss == 0 and rows.grad is not None and not rows.grad.any()


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt_neox", "gpt2"])
def test_kept_rotations_change_no_logits(architecture: str) -> None:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    sizes |= {"head_dim": 16} if architecture == "qwen3" else {}
    config = AutoConfig.for_model(architecture, vocab_size=50, **sizes)
    model, ids = AutoModelForCausalLM.from_config(config).eval(), torch.randint(50, (2, 16))
    with torch.no_grad():
        before = model(input_ids=ids).logits
        hooks = keep_rotations(model)
        after = model(input_ids=ids).logits
    assert torch.equal(before, after) and bool(hooks) == (architecture != "gpt2")
