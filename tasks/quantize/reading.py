"""Read a model folder with quantized layers, as `layout` writes it. Served models include this file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.text_ids import LOCAL
from tasks.quantize.layers import Rounded, put_in

if TYPE_CHECKING:
    import torch

QUANTIZED = "model.safetensors"
QUANTIZATION, COMPRESSED_TENSORS = "quantization_config", "compressed-tensors"
SCALE, PACKED, SHAPE = ".weight_scale", ".weight_packed", ".weight_shape"
WORD = 32
"""Bits of an integer that holds several weights."""


def is_quantized(folder: Path) -> bool:
    """Whether a model folder has quantized layers of this format."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and (config.get(QUANTIZATION) or {}).get("quant_method") == COMPRESSED_TENSORS


def load_quantized(folder: Path, loader: Any) -> Any:
    """The model of a folder, in float32 but for its quantized layers.

    `loader`: the `transformers` class. Raises ValueError, and what reads and builds raise, for a damaged folder.
    """
    import torch
    import transformers
    from safetensors.torch import load_file

    config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
    delattr(config, QUANTIZATION)
    state = load_file(folder / QUANTIZED)
    layers = _taken_out(state)
    with torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced
        model = loader.from_config(config, dtype=torch.float32)
    put_in(model, layers)
    model.load_state_dict(state, strict=False)
    if (folder / "generation_config.json").is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder, **LOCAL)
    known = {id(weights) for name, weights in model.named_parameters(remove_duplicate=False) if name in state}
    rounded = {f"{name}.weight" for name in layers}
    absent = [name for name, weights in model.named_parameters() if id(weights) not in known and name not in rounded]
    if absent:
        raise ValueError(f"{len(absent)} weights are missing, e.g. {absent[0]}")
    if unknown := sorted(set(state) - set(model.state_dict())):
        raise ValueError(f"{unknown[0]} is no weight of this model")
    return model


def _taken_out(state: "dict[str, torch.Tensor]") -> dict[str, Rounded]:
    """The quantized layers of a state, by name, which are no longer in the state. Raises ValueError."""
    found = {}
    for key in [key for key in state if key.endswith(PACKED)]:
        name, packed = key.removesuffix(PACKED), state.pop(key)
        scales, shape = state.pop(f"{name}{SCALE}", None), state.pop(f"{name}{SHAPE}", None)
        if scales is None or shape is None:
            raise ValueError(f"{name}: its scales or its shape are missing")
        rows, columns = shape.tolist()
        if [len(packed), len(scales)] != [rows, rows] or columns % packed.shape[1] or columns % scales.shape[1]:
            told = f"weights {list(packed.shape)} and scales {list(scales.shape)}"
            raise ValueError(f"{name}: {told} do not fit a layer of {[rows, columns]}")
        bits = WORD * packed.shape[1] // columns
        found[name] = Rounded(_unpacked(packed, bits), scales.float(), bits)
    return found


def _unpacked(packed: "torch.Tensor", bits: int) -> "torch.Tensor":
    """int32 [out, in * bits / 32] → int8 [out, in]."""
    import torch

    parts = (packed[..., None] >> torch.arange(0, WORD, bits, dtype=torch.int32)) & (2**bits - 1)
    return (parts - 2 ** (bits - 1)).to(torch.int8).flatten(1)
