"""Matrix products of a model's linear layers by oneDNN, on CPUs of the x86 family, in fp32.

torch multiplies fp32 matrices with Intel's MKL, which on an EPYC with AVX-512 reaches 100 GF/s per core; oneDNN, which
torch contains as well and uses for bf16 and in compiled models, reaches 230, once it has packed the weights in its own
order. Sums are rounded in another order, so losses differ in the last digits of fp32.
"""

import platform
from functools import partial
from typing import Any


def pack(model: Any) -> None:
    """Pack the weights of all linear layers of a loaded fp32 model, if it is on a CPU that gains from it.

    The layers' own weights are released, unless another layer, such as the embedding, shares them.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    on_cpu = model.device.type == "cpu" and platform.machine() in ("x86_64", "AMD64")
    if not (on_cpu and torch.backends.mkldnn.is_available()):
        return
    layers = [layer for layer in model.modules() if type(layer) in (torch.nn.Linear, Conv1D)]
    layers = [layer for layer in layers if layer.weight.dtype == torch.float32 and layer.weight.numel()]
    others = set(model.modules()) - set(layers)
    shared = {id(weights) for module in others for weights in module.parameters(recurse=False)}
    packed: dict[int, Any] = {}  # by the weights, which two layers may share
    for layer in layers:
        weights = layer.weight
        if id(weights) not in packed:
            rows = weights.T.contiguous() if type(layer) is Conv1D else weights
            packed[id(weights)] = torch.ops.mkldnn._reorder_linear_weight(rows)
        layer.forward = partial(_linear, packed[id(weights)], layer.bias)
    for layer in layers:
        if id(layer.weight) not in shared:
            layer.weight = torch.nn.Parameter(layer.weight.new_empty(0), requires_grad=False)


def _linear(weights: Any, bias: Any, inputs: Any) -> Any:
    """`torch.nn.functional.linear` with packed weights."""
    import torch

    return torch.ops.mkldnn._linear_pointwise(inputs, weights, bias, "none", [], "")
