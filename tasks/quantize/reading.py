"""Read a model folder with quantized layers; see `tasks.quantize.layout`. Served models include this file."""

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
NIBBLES = tuple(range(0, 32, 4))
"""The places of 8 integers of 4 bits in one of 32, in bits."""


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
    """The quantized layers of a state, by name, which are no longer in the state. Raises ValueError and KeyError."""
    import torch

    found = {}
    for key in [key for key in state if key.endswith(SCALE)]:
        name, scales = key.removesuffix(SCALE), state.pop(key).float()
        packed = state.pop(f"{name}{PACKED}", None)
        if packed is None:
            integers, bits = state.pop(f"{name}.weight", None), 8
        else:
            rows, columns = state.pop(f"{name}{SHAPE}").tolist()
            integers, bits = _unpacked(packed, rows, columns), 4
        if integers is None:
            raise ValueError(f"{name} has scales without integers")
        rows, columns = integers.shape
        if len(scales) != rows or columns % scales.shape[1]:
            raise ValueError(f"{name}: scales {list(scales.shape)} do not fit weights {[rows, columns]}")
        found[name] = Rounded(integers, scales, bits)
    if bare := [key for key, part in state.items() if part.dtype == torch.int8]:
        raise ValueError(f"{bare[0]} has integers without scales")
    return found


def _unpacked(packed: "torch.Tensor", rows: int, columns: int) -> "torch.Tensor":
    import torch

    parts = (packed[..., None] >> torch.tensor(NIBBLES, dtype=torch.int32)) & 15
    return (parts - 8).to(torch.int8).view(rows, columns)
