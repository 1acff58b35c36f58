"""The loss of a batch: positions without a target are not computed, which does not change the loss."""

from typing import Any

import pytest

from tasks.formats.rows import IGNORED
from tasks.train.activations import fuse_activations
from tasks.train.batches import count_items, find_asked
from tasks.train.loss import summed_loss
from tests.train.test_families import MODELS

SMALL = {name: MODELS[name] for name in ("bert", "roberta", "gpt2", "llama")} | {
    "modernbert": {**MODELS["llama"], "pad_token_id": 0},
    "gemma2": {**MODELS["llama"], "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0},
}


@pytest.mark.parametrize("architecture", SMALL)
def test_asking_for_a_few_tokens_gives_the_loss_and_gradients_of_all_logits(architecture: str) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    masked = architecture in ("bert", "roberta", "modernbert")
    config = transformers.AutoConfig.for_model(architecture, vocab_size=50, **SMALL[architecture])
    model: Any = (transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM).from_config(
        config
    )
    ids = torch.randint(3, 50, (3, 12))
    labels = torch.full_like(ids, IGNORED)
    labels[:, 4:7] = ids[:, 5:8]
    shapes = []
    model.get_output_embeddings().register_forward_hook(lambda module, given, made: shapes.append(made.shape[:-1]))

    batch = find_asked({"input_ids": ids, "labels": labels})
    loss = summed_loss(model.eval(), batch, smoothing=0.1)
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    logits = model(input_ids=ids).logits
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=0.1
    )
    wanted.backward()

    assert count_items(batch) == 9 and [tuple(shape) for shape in shapes] == [(9,), (3, 12)]
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            assert torch.allclose(found[name], weight.grad, rtol=1e-3, atol=1e-5), name


def test_activations_as_one_kernel_have_the_same_values() -> None:
    import torch
    import transformers

    config = transformers.AutoConfig.for_model("gpt2", vocab_size=50, **MODELS["gpt2"])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    ids = torch.arange(12)[None]
    before = model(input_ids=ids).logits
    fuse_activations(model)
    kinds = {type(module).__name__ for module in model.modules() if "GELU" in type(module).__name__}
    assert kinds == {"GELUTanh"} and model.config.activation_function == "gelu_new"
    assert torch.allclose(model(input_ids=ids).logits, before, rtol=1e-5, atol=1e-6)
