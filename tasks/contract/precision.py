"""Frozen matrices, held in the number format in which they are multiplied."""

from typing import Any


def hold_in_bf16(model: Any) -> None:
    """Convert the frozen matrices of linear layers to bfloat16, once.

    For a model that runs under `torch.autocast` to bfloat16, which would convert them in every pass: what it computes
    stays the same to the bit. A matrix that is an embedding, too, becomes one of its own.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
            module.weight = torch.nn.Parameter(module.weight.detach().bfloat16(), requires_grad=False)
