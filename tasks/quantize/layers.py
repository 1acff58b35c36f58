"""Quantized linear layers in memory.

Weights stay integers. For up to FEW rows of inputs, as in generation, torch multiplies with 8-bit weights as they are,
if an output has one scale, and reads a quarter of the bytes of float32, which is what such a product waits for. Else
the weights become bfloat16 for the length of the product: for many rows that costs a small part of it, and bfloat16 is
the fastest format of floats on processors that know it. On others (no AVX512_BF16, no AMX) the products are in float32.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tasks.formats.precision import bf16_in_hardware

if TYPE_CHECKING:
    import torch

FEW = 8
"""Rows up to which integers are multiplied as they are."""
ALIGNED, WHOLE = 64, 16
"""torch's kernel for that reads from addresses that are multiples of the one, and inputs in multiples of the other;
with others it crashes, or reads behind the end (torch 2.13)."""


@dataclass(frozen=True)
class Rounded:
    """The weights of a linear layer."""

    integers: "torch.Tensor"
    """int8 [out, in]; those of 4 bits take a byte each here."""
    scales: "torch.Tensor"
    """float32 [out, groups]."""
    bits: int

    def floats(self) -> "torch.Tensor":
        """float32 [out, in]."""
        rows, columns = self.integers.shape
        grouped = self.integers.view(rows, self.scales.shape[1], -1) * self.scales[..., None]
        return grouped.reshape(rows, columns)


def put_in(model: Any, layers: "dict[str, Rounded]") -> None:
    """Replace the products of these layers, by name; their float weights are released.

    Raises ValueError if the model has no such layer.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    modules = dict(model.named_modules())
    for name, rounded in layers.items():
        layer = modules.get(name)
        if not isinstance(layer, torch.nn.Linear | Conv1D):
            raise ValueError(f"{name} is quantized, but no linear layer of this model")
        product = _Product(rounded)
        layer.forward = partial(_linear, product, layer.bias)  # type: ignore[method-assign]
        layer.weight = torch.nn.Parameter(layer.weight.new_empty(0), requires_grad=False)


class _Product:
    """x Wᵀ for one layer."""

    def __init__(self, rounded: Rounded) -> None:
        import torch

        self.integers = rounded.integers.clone()  # one that was read from a file is not aligned
        self.scales = rounded.scales.float()
        of_rows, whole = rounded.scales.shape[1] == 1, rounded.integers.shape[1] % WHOLE == 0
        self.few = rounded.bits == 8 and of_rows and whole
        self.kind = torch.float32
        self._put(torch.device("cpu"))

    def _put(self, device: "torch.device") -> None:
        """Go to a device, and compute in its fast format."""
        import torch

        fast = bf16_in_hardware(device.type)
        self.few = self.few and fast and device.type == "cpu"
        self.kind = torch.bfloat16 if fast else torch.float32
        self.integers, self.scales = self.integers.to(device), self.scales.to(device, self.kind)

    def floats(self) -> "torch.Tensor":
        """[out, in]."""
        rows, columns = self.integers.shape
        return (self.integers.view(rows, self.scales.shape[1], -1) * self.scales[..., None]).view(rows, columns)

    def __call__(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """[rows, in] → [rows, out]."""
        import torch

        if self.integers.device != inputs.device:
            self._put(inputs.device)
        inputs = inputs.to(self.kind)
        if self.few and len(inputs) <= FEW:
            inputs = inputs.clone() if inputs.data_ptr() % ALIGNED else inputs
            return torch._weight_int8pack_mm(inputs, self.integers, self.scales.flatten())
        return torch.nn.functional.linear(inputs, self.floats())


def _linear(product: _Product, bias: "torch.Tensor | None", inputs: "torch.Tensor") -> "torch.Tensor":
    found = product(inputs.flatten(0, -2).contiguous()).to(inputs.dtype)
    found = found.view(*inputs.shape[:-1], -1)
    return found if bias is None else found + bias
