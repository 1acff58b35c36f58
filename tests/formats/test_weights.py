"""Matrices held in bfloat16 leave a model's outputs under autocast bit-identical."""

import pytest

from tasks.formats.weights import hold_in_bf16
from tests.train.test_families import MODELS


@pytest.mark.parametrize("architecture", ["t5", "marian", "bert", "llama"])
def test_held_matrices_change_no_bit_of_what_comes_out(architecture: str) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    tokens = {"vocab_size": 50, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = transformers.AutoConfig.for_model(architecture, **tokens, **MODELS[architecture])
    name = {"bert": "AutoModelForMaskedLM", "llama": "AutoModelForCausalLM"}.get(architecture, "AutoModelForSeq2SeqLM")
    model = getattr(transformers, name).from_config(config).eval().requires_grad_(False)
    ids = torch.randint(2, 50, (3, 12))
    given = {"input_ids": ids, **({"labels": ids} if name.endswith("Seq2SeqLM") else {})}

    def logits() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return model(**given).logits

    before = logits()
    hold_in_bf16(model)
    assert model.get_output_embeddings().weight.dtype == torch.bfloat16
    assert model.get_input_embeddings().weight.dtype == torch.float32
    assert torch.equal(logits(), before)


def test_what_is_trained_stays_as_it_is() -> None:
    import torch

    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    layers[0].requires_grad_(False)
    hold_in_bf16(layers)
    assert [layer.weight.dtype for layer in layers] == [torch.bfloat16, torch.float32]
