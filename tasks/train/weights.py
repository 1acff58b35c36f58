"""The weights that a training changes, by name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]


def trained_weights(model: Any) -> Tensors:
    """All weights, or only the trained ones if some are frozen; shared ones once."""
    import torch

    frozen = any(not parameter.requires_grad for parameter in model.parameters())
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor) and (tensor.requires_grad or not frozen):
            found.setdefault(id(tensor), (name, tensor))
    return {name: tensor.detach() for name, tensor in found.values()}


def set_weights(model: Any, weights: Tensors) -> None:
    """Copy weights of `trained_weights` into the model."""
    own = trained_weights(model)
    if own.keys() != weights.keys():
        raise KeyError(f"other weights than the model's: {', '.join(sorted(own.keys() ^ weights.keys()))}")
    for name, tensor in own.items():
        tensor.copy_(weights[name])
