"""Write a model folder with quantized layers, in the format `pack-quantized` of compressed-tensors, which transformers
and vLLM read as well.

    config.json         of the float model, plus `quantization_config`: bits, group size, the layers that stay float
    model.safetensors   of a quantized layer NAME, instead of NAME.weight
                        NAME.weight_packed   int32 [out, in * bits / 32], the first input in the lowest bits; each
                                             integer plus 2^(bits-1)
                        NAME.weight_scale    float32 [out, groups]
                        NAME.weight_shape    int64 [2]: out, in
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

from tasks.quantize.layers import Rounded
from tasks.quantize.reading import COMPRESSED_TENSORS, PACKED, QUANTIZATION, QUANTIZED, SCALE, SHAPE, WORD
from tasks.stage.run import write_json

if TYPE_CHECKING:
    import torch


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
            "quant_method": COMPRESSED_TENSORS,
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ignored,
        }


def write_quantized(model: Any, source: Path, layers: Mapping[str, Rounded], scheme: Scheme, folder: Path) -> None:
    """Write a float model, loaded from the folder `source`, with these layers quantized."""
    import torch
    from safetensors.torch import save_file
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin", "adapter"))
    state = remove_tied_weights_from_state_dict(model.state_dict(), model)
    found: dict[str, torch.Tensor] = {}
    for name, weights in state.items():
        layer = layers.get(place := name.removesuffix(".weight"))
        if layer is None or not name.endswith(".weight"):
            floats = weights.is_floating_point()
            found[name] = weights.bfloat16() if floats and weights.ndim > 1 else weights.float() if floats else weights
        else:
            shape = torch.tensor(layer.integers.shape)
            found |= {f"{place}{SCALE}": layer.scales, f"{place}{SHAPE}": shape}
            found[f"{place}{PACKED}"] = _packed(layer.integers, scheme.bits)
    save_file({name: part.contiguous() for name, part in sorted(found.items())}, folder / QUANTIZED, {"format": "pt"})
    named = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, QUANTIZATION: scheme.to_json(sorted(named - set(layers)))})


def _packed(integers: "torch.Tensor", bits: int) -> "torch.Tensor":
    """int8 [out, in] → int32 [out, in * bits / 32]."""
    import torch

    places = torch.arange(0, WORD, bits)
    parts = (integers.long() + 2 ** (bits - 1)).view(len(integers), -1, len(places)) << places
    return parts.sum(-1).to(torch.int32)  # the highest bit is the sign's
