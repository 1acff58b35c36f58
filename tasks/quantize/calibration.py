"""The second moments of each linear layer's inputs, over training text: what its rounding has to keep."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch


NARROW = 16
"""Inputs or outputs below which a layer stays float: a head for classes."""


def linear_layers(model: Any) -> "dict[str, torch.nn.Module]":
    """The layers that are quantized, by name: all linear ones but the output embeddings and narrow ones."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear | Conv1D)}
    return {name: layer for name, layer in found.items() if layer is not head and min(layer.weight.shape) >= NARROW}


def rows_of(layer: "torch.nn.Module") -> "torch.Tensor":
    """The weights of a layer, [out, in]; GPT-2's Conv1D has them the other way round."""
    import torch

    weights = cast("torch.Tensor", layer.weight).detach()
    return weights if isinstance(layer, torch.nn.Linear) else weights.T.contiguous()


def second_moments(
    model: Any,
    layers: "Mapping[str, torch.nn.Module]",
    inputs: "Iterable[Mapping[str, torch.Tensor]]",
    done: Callable[[], object],
) -> "dict[str, torch.Tensor]":
    """The sum of x xᵀ over the inputs x of each layer, float32 [in, in]; layers that share an input share the tensor.

    `inputs`: arguments of the model's forward, without padding. `done` is called after each of them.
    """
    import torch

    sums: dict[str, torch.Tensor] = {}
    leaders: dict[str, str] = {}
    """Layer → the first layer with the same input."""
    seen: deque[tuple[torch.Tensor, str]] = deque(maxlen=4)

    def hook(name: str) -> Any:
        def add(_: object, inputs: "tuple[torch.Tensor, ...]") -> None:
            given = inputs[0]
            leader = next((other for tensor, other in seen if tensor is given), None)
            if leader is not None and leaders.setdefault(name, leader) == leader:
                return
            leaders[name] = name
            seen.append((given, name))
            rows = given.detach().float().flatten(0, -2)
            moments = rows.T @ rows
            sums[name] = sums[name].add_(moments) if name in sums else moments

        return add

    hooks = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for each in inputs:
                model(**each)
                seen.clear()
                done()
    finally:
        for handle in hooks:
            handle.remove()
    return {name: sums[leaders[name]] for name in layers if name in leaders}
