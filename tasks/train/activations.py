"""Activations as one kernel."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fuse_activations(model: "PreTrainedModel") -> None:
    """Replace the GELU of GPT-2, GPT-J, Phi and others, of which transformers spells out tanh(√(2/π) (x + 0.044715 x³))
    in eight operations that each keep a tensor for the backward pass, by torch's kernel for the same function.

    The config keeps its name for it, so that the model is saved and loaded as ever.
    """
    from transformers.activations import FastGELUActivation, GELUTanh, NewGELUActivation

    for module in model.modules():
        for name, child in module.named_children():
            if type(child) in (NewGELUActivation, FastGELUActivation):
                setattr(module, name, GELUTanh())
