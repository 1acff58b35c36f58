"""A model folder with quantized layers, in the format of compressed-tensors (`int-quantized` for 8 bits,
`pack-quantized` for 4), which transformers and vLLM read as well.

    config.json         of the float model, plus `quantization_config`: bits, group size, the layers that stay float
    model.safetensors   of a quantized layer NAME, instead of NAME.weight
                        8 bits   NAME.weight int8 [out, in], NAME.weight_scale float32 [out, groups]
                        4 bits   NAME.weight_packed int32 [out, in / 8], the first input in the lowest 4 bits, each
                                 plus 8; NAME.weight_scale; NAME.weight_shape int64 [2]
                        all other matrices in bfloat16, vectors in float32
    everything else     as in the float model's folder

GPT-2's Conv1D is quantized as the linear layer that it is; other readers of the format do not know it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.text_ids import LOCAL
from tasks.formats.weights import unfit
from tasks.quantize.calibration import linear_layers
from tasks.quantize.layers import put_in
from tasks.quantize.rounding import Rounded
from tasks.stage.errors import DataError, one_line
from tasks.stage.run import write_json

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
KEY = "quantization_config"
METHOD = "compressed-tensors"
SCALE, PACKED, SHAPE = ".weight_scale", ".weight_packed", ".weight_shape"
NIBBLES = tuple(range(0, 32, 4))
"""The places of 8 integers of 4 bits in one of 32, in bits."""


@dataclass(frozen=True)
class Scheme:
    """How the layers of a folder are quantized."""

    bits: int
    group: int | None
    """Inputs that share a scale; None: one scale for each output."""

    def to_json(self, ignored: list[str]) -> dict[str, Any]:
        """The value of `quantization_config`; `ignored`: the linear layers that stay float."""
        strategy = {"strategy": "channel"} if self.group is None else {"strategy": "group", "group_size": self.group}
        weights = {"num_bits": self.bits, "type": "int", "symmetric": True, "dynamic": False, **strategy}
        return {
            "quant_method": METHOD,
            "format": "int-quantized" if self.bits == 8 else "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ignored,
        }


def is_quantized(folder: Path) -> bool:
    """Whether a model folder has quantized layers of this format."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and (config.get(KEY) or {}).get("quant_method") == METHOD


def write_quantized(model: Any, source: Path, layers: Mapping[str, Rounded], scheme: Scheme, folder: Path) -> None:
    """Write a float model, loaded from the folder `source`, with these layers quantized."""
    import torch
    from safetensors.torch import save_file
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin", "adapter"))
    state = remove_tied_weights_from_state_dict(model.state_dict(), model)
    found: dict[str, torch.Tensor] = {}
    for name, weights in state.items():
        layer = layers.get(name.removesuffix(".weight"))
        if layer is None or not name.endswith(".weight"):
            floats = weights.is_floating_point()
            found[name] = weights.bfloat16() if floats and weights.ndim > 1 else weights.float() if floats else weights
        elif scheme.bits == 8:
            found |= {name: layer.integers, f"{name}_scale": layer.scales}
        else:
            shape = torch.tensor(layer.integers.shape)
            found |= {f"{name}_packed": _packed(layer.integers), f"{name}_scale": layer.scales, f"{name}_shape": shape}
    save_file({name: part.contiguous() for name, part in sorted(found.items())}, folder / WEIGHTS, {"format": "pt"})
    named = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, KEY: scheme.to_json(sorted(named - set(layers)))})


def load_quantized(folder: Path, loader: Any) -> Any:
    """The model of a folder, in float32 but for its quantized layers.

    `loader`: the `transformers` class. Raises DataError for a damaged folder.
    """
    import torch
    import transformers
    from safetensors.torch import load_file

    try:
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        delattr(config, KEY)
        state = load_file(folder / WEIGHTS)
        layers = _taken_out(state)
        with torch.random.fork_rng():  # weights are drawn, and replaced
            model = loader.from_config(config, dtype=torch.float32)
        if strange := sorted(set(layers) - set(linear_layers(model))):
            raise ValueError(f"{strange[0]} is quantized, but no linear layer of this model")
        put_in(model, layers)
        model.load_state_dict(state, strict=False)
        if (folder / "generation_config.json").is_file():
            model.generation_config = transformers.GenerationConfig.from_pretrained(folder, **LOCAL)
    except unfit() as error:
        raise DataError(f"{folder}: cannot be loaded: {one_line(error)}") from error
    known = {id(weights) for name, weights in model.named_parameters(remove_duplicate=False) if name in state}
    rounded = {f"{name}.weight" for name in layers}
    absent = [name for name, weights in model.named_parameters() if id(weights) not in known and name not in rounded]
    if absent or (unknown := sorted(set(state) - set(model.state_dict()))):
        told = f"{len(absent)} weights are missing, e.g. {absent[0]}" if absent else f"{unknown[0]} is no weight of it"
        raise DataError(f"{folder}: {told}")
    return model


def _taken_out(state: "dict[str, torch.Tensor]") -> dict[str, Rounded]:
    """The quantized layers of a state, by name, which are no longer in the state. Raises ValueError and KeyError."""
    import torch

    found = {}
    for key in [key for key in state if key.endswith(SCALE)]:
        name, scales = key.removesuffix(SCALE), state.pop(key).float()
        packed = state.pop(f"{name}{PACKED}", None)
        if packed is None:
            integers, bits = state.pop(f"{name}.weight"), 8
        else:
            rows, columns = state.pop(f"{name}{SHAPE}").tolist()
            integers, bits = _unpacked(packed, rows, columns), 4
        rows, columns = integers.shape
        if len(scales) != rows or columns % scales.shape[1]:
            raise ValueError(f"{name}: scales {list(scales.shape)} do not fit weights {[rows, columns]}")
        found[name] = Rounded(integers, scales, bits)
    if bare := [key for key, part in state.items() if part.dtype == torch.int8]:
        raise ValueError(f"{bare[0]} has integers without scales")
    return found


def _packed(integers: "torch.Tensor") -> "torch.Tensor":
    """int8 [out, in] from -8 to 7 → int32 [out, in / 8]."""
    import torch

    parts = (integers.long() + 8).view(len(integers), -1, len(NIBBLES)) << torch.tensor(NIBBLES)
    return parts.sum(-1).to(torch.int32)  # the highest bit is the sign's


def _unpacked(packed: "torch.Tensor", rows: int, columns: int) -> "torch.Tensor":
    import torch

    parts = (packed[..., None] >> torch.tensor(NIBBLES, dtype=torch.int32)) & 15
    return (parts - 8).to(torch.int8).view(rows, columns)
