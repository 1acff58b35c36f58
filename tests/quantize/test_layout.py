"""A model folder with quantized layers: written, read, run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from tasks.quantize.calibration import linear_layers, rows_of, second_moments
from tasks.quantize.layers import FEW, Rounded
from tasks.quantize.layout import Scheme, write_quantized
from tasks.quantize.reading import is_quantized, load_quantized
from tasks.quantize.rounding import round_weights

PLACE = "model.layers.0.mlp"


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip


def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()


def written(model: PreTrainedModel, folder: Path, bits: int) -> dict[str, Rounded]:
    """Write the model as float/ and quantized/; returns the layers."""
    model.save_pretrained(folder / "float")
    (folder / "float/gristmill.json").write_text("{}")
    group = None if bits == 8 else 16
    layers = {name: round_weights(rows_of(layer), bits, group, None) for name, layer in linear_layers(model).items()}
    write_quantized(model, folder / "float", layers, Scheme(bits, group), folder / "quantized")
    return layers


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 40])
def test_what_is_read_computes_with_the_rounded_weights(tmp_path: Path, make, bits: int, rows: int) -> None:
    model = make()
    layers = written(model, tmp_path, bits)
    assert is_quantized(tmp_path / "quantized") and not is_quantized(tmp_path / "float")
    read = load_quantized(tmp_path / "quantized", AutoModelForCausalLM)
    with torch.no_grad():
        for name, layer in linear_layers(model).items():
            floats = layers[name].floats()
            layer.weight.copy_(floats if isinstance(layer, torch.nn.Linear) else floats.T)
    ids = torch.arange(rows)[None] % 50
    wanted, found = (each.eval()(ids).logits for each in (model, read))
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()  # products in bfloat16
    assert rows <= FEW or rows > 2 * FEW
    assert len(layers) == (14 if make is llama else 8)


@pytest.mark.parametrize("rows", [1, 40])
def test_without_bf16_in_hardware_products_are_in_fp32(tmp_path: Path, monkeypatch, rows: int) -> None:
    model = llama()
    layers = written(model, tmp_path, 8)
    monkeypatch.setattr("tasks.quantize.layers.bf16_in_hardware", lambda place: False)
    read = load_quantized(tmp_path / "quantized", AutoModelForCausalLM)
    monkeypatch.undo()
    name = next(iter(linear_layers(model)))
    inputs = torch.randn(1, rows, 32)
    found = dict(read.named_modules())[name](inputs)
    assert (found - inputs @ layers[name].floats().T).abs().max() < 1e-5


def test_a_folder_is_smaller_and_keeps_what_is_beside_the_weights(tmp_path: Path) -> None:
    written(llama(), tmp_path, 8)
    floats, small = (tmp_path / name / "model.safetensors" for name in ("float", "quantized"))
    assert small.stat().st_size < 0.5 * floats.stat().st_size
    assert (tmp_path / "quantized/gristmill.json").read_text() == "{}"
    state = load_file(small)
    assert state["model.layers.0.mlp.up_proj.weight_packed"].dtype == torch.int32
    assert state["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert state["model.norm.weight"].dtype == torch.float32
    scheme = json.loads((tmp_path / "quantized/config.json").read_text())["quantization_config"]
    assert scheme["quant_method"] == "compressed-tensors" and scheme["ignore"] == ["lm_head"]


@pytest.mark.parametrize("lost", ["up_proj.weight_scale", "up_proj.weight_packed", "cut"])
def test_a_damaged_folder_is_refused(tmp_path: Path, lost: str) -> None:
    written(llama(), tmp_path, 8)
    path = tmp_path / "quantized/model.safetensors"
    if lost == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        save_file({name: part for name, part in load_file(path).items() if name != f"{PLACE}.{lost}"}, path)
    with pytest.raises((ValueError, SafetensorError), match=r"weights are missing|scales .* missing|incomplete"):
        load_quantized(tmp_path / "quantized", AutoModelForCausalLM)


def test_layers_with_one_input_share_its_moments() -> None:
    model = llama()
    layers = linear_layers(model)
    done: list[int] = []
    moments = second_moments(
        model, layers, [{"input_ids": torch.arange(20)[None]}, {"input_ids": torch.arange(30)[None]}],
        lambda: done.append(1),
    )  # fmt: skip
    one = "model.layers.0.self_attn"
    assert moments[f"{one}.q_proj"] is moments[f"{one}.v_proj"] is not moments[f"{one}.o_proj"]
    assert set(moments) == set(layers) and len(done) == 2
    assert torch.linalg.eigvalsh(moments[f"{one}.o_proj"]).min() > -1e-3


@pytest.mark.parametrize("bits", [8, 4])
def test_another_reader_of_the_format_computes_the_same(tmp_path: Path, bits: int) -> None:
    written(llama(), tmp_path, bits)
    ids = torch.arange(40)[None]
    ours = load_quantized(tmp_path / "quantized", AutoModelForCausalLM).eval()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "quantized", dtype=torch.float32).eval()
    with torch.no_grad():
        found, wanted = (each(ids).logits for each in (ours, theirs))
    assert (found - wanted).abs().max() < 0.01 * wanted.abs().max()
