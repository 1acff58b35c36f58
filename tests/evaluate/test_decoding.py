"""The searches of evaluation choose the tokens that transformers' own choose, in less work."""

import pytest

EOS = 1
SMALL = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 128}  # fmt: skip
PAIRS = {"vocab_size": 60, "d_model": 16, "pad_token_id": 0, "eos_token_id": EOS, "decoder_start_token_id": 0}
SIDES = {f"{side}_{name}": value for side in ("encoder", "decoder")
         for name, value in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))}  # fmt: skip
MODELS = {
    "llama": {**SMALL, "num_key_value_heads": 1},
    "gpt2": {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128},
    "mistral": {**SMALL, "sliding_window": 6, "num_key_value_heads": 1},
    "mamba": {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "t5": {**PAIRS, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    "marian": {**PAIRS, **SIDES, "max_position_embeddings": 128, "forced_eos_token_id": None},
    "bart": {**PAIRS, **SIDES, "max_position_embeddings": 128, "forced_eos_token_id": None, "bos_token_id": 0},
}
SEARCHES = {
    "greedy": {"num_beams": 1},
    "greedy without repeated pairs": {"num_beams": 1, "no_repeat_ngram_size": 2},
    "beams": {"num_beams": 4, "early_stopping": True},
    "beams that may improve": {"num_beams": 3, "early_stopping": False, "length_penalty": 0.3},
    "beams with penalties": {"num_beams": 2, "early_stopping": True, "repetition_penalty": 1.3, "length_penalty": 2.0},
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    """A model of random weights, whose favourites vary from token to token, so that its outputs end at any length."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    torch.manual_seed(3)
    config = AutoConfig.for_model(request.param, **MODELS[request.param])
    made = (AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM).from_config(config).eval()

    def varied(module, read, logits):
        return 3 * torch.sin(100 * torch.nn.functional.layer_norm(logits, logits.shape[-1:]))

    made.get_output_embeddings().register_forward_hook(varied)
    return made


def batch(model):
    """Texts of different lengths; those of a causal model are padded on the left."""
    import numpy as np
    import torch

    from tasks.formats.rows import padded

    drawn = np.random.default_rng(0)
    rows = [drawn.integers(3, 60, length).tolist() for length in (3, 4, 4, 5, 7, 8, 9, 9, 10, 12)]
    return map(torch.from_numpy, padded(rows, 0, left=not model.config.is_encoder_decoder))


def written(found, before: int) -> list[list[int]]:
    rows = [row[before:] for row in found.tolist()]
    ends = [[place for place, token in enumerate(row) if token in (EOS, 2)] for row in rows]
    return [row[: places[0] + 1] if places else row for row, places in zip(rows, ends, strict=True)]


@pytest.mark.parametrize("search", SEARCHES)
def test_outputs_are_those_of_transformers(model, search):
    import torch
    from transformers import GenerationConfig

    from tasks.evaluate.decoding import generate, share_encoder
    from tasks.formats.repetition import of_the_output

    chosen = dict(SEARCHES[search])
    repetition = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
    repetition |= {name: chosen.pop(name) for name in repetition if name in chosen}
    special = {"pad_token_id": 0, "eos_token_id": [EOS, 2], "decoder_start_token_id": 0}
    config = GenerationConfig(do_sample=False, max_new_tokens=80, **chosen, **special)
    ids, mask = batch(model)
    before = 1 if model.config.is_encoder_decoder else ids.shape[1]
    given = {"input_ids": ids, "attention_mask": mask, "generation_config": config}
    rows: list[int] = []
    counting = model.get_output_embeddings().register_forward_pre_hook(lambda head, read: rows.append(len(read[0])))
    with torch.inference_mode():
        wanted = written(model.generate(logits_processor=of_the_output(before, **repetition), **given), before)
        plain = sum(rows)
        rows.clear()
        share_encoder(model)
        found = written(generate(model, of_the_output(before, **repetition), **given), before)
    counting.remove()
    if model.config.is_encoder_decoder:
        model.set_attn_implementation("sdpa")
    assert found == wanted
    assert len({len(row) for row in found}) > 1  # else nothing could leave
    assert sum(rows) < (plain if model.config.model_type != "mamba" else plain + 1)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_packed_weights_give_the_same_losses_and_are_held_once(kind):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tasks.evaluate.packing import pack

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **MODELS[kind], tie_word_embeddings=True))
    model.eval().requires_grad_(False)
    ids = torch.arange(40).view(2, 20)
    before, size = model(input_ids=ids).logits, sum(weights.numel() for weights in model.parameters())
    pack(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=1e-5, atol=1e-6)
    assert sum(weights.numel() for weights in model.parameters()) < size / 2
    assert model.get_input_embeddings().weight.shape[0] == 60
