"""AdamW, and Muon with AdamW, each as one `torch.optim.Optimizer`."""

import math
from typing import TYPE_CHECKING, Any

from tasks.train.muon import stacked_muon
from tasks.train.settings import AdamWSettings, MuonSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Groups = dict[str, "list[torch.nn.Parameter]"]


def split_parameters(model: "PreTrainedModel") -> Groups:
    """Group the trained parameters, in model order, each exactly once (a tied head counts as embedding):

    embeddings  token embeddings and learned position embeddings
    head        the output matrix, if not tied
    matrices    two-dimensional parameters of the hidden layers
    vectors     norms, biases and all other shapes
    """
    import torch

    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    output = model.get_output_embeddings()
    head = set() if output is None else {id(p) for p in output.parameters()}
    groups: Groups = {"embeddings": [], "head": [], "matrices": [], "vectors": []}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            kind = "embeddings"
        elif id(parameter) in head and parameter.ndim == 2:
            kind = "head"
        else:
            kind = "matrices" if parameter.ndim == 2 else "vectors"
        groups[kind].append(parameter)
    return groups


def make_optimizer(model: "PreTrainedModel", settings: AdamWSettings) -> "torch.optim.Optimizer":
    """Make the optimizer for all trained parameters of a model."""
    import torch

    groups = split_parameters(model)
    rates = {"embeddings": settings.embedding_learning_rate or settings.learning_rate}
    by_adamw = [
        {
            "params": parameters,
            "lr": rates.get(kind, settings.learning_rate),
            "weight_decay": 0.0 if kind == "vectors" else settings.weight_decay,
        }
        for kind, parameters in groups.items()
        if parameters and not (kind == "matrices" and isinstance(settings, MuonSettings))
    ]
    parts: list[torch.optim.Optimizer] = []
    if by_adamw:  # with LoRA, Muon may take all parameters
        parts.append(torch.optim.AdamW(by_adamw, betas=settings.betas, eps=settings.epsilon, fused=True))
    if isinstance(settings, MuonSettings) and groups["matrices"]:
        parts.append(
            stacked_muon(
                _by_shape(model, groups["matrices"], settings.matrix_learning_rate),
                settings.matrix_weight_decay,
                settings.momentum,
                settings.newton_schulz_steps,
            )
        )
    return joined(parts) if len(parts) > 1 else parts[0]


def _by_shape(model: "PreTrainedModel", matrices: "list[torch.nn.Parameter]", rate: float) -> "list[dict[str, Any]]":
    """Muon's parameter groups. torch scales the rate by sqrt(max(1, rows / columns)), assuming Linear's layout, outputs
    × inputs; the rate of GPT-2's Conv1D, which is transposed, is corrected for that."""
    from transformers.pytorch_utils import Conv1D

    turned = {id(module.weight) for module in model.modules() if isinstance(module, Conv1D)}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for matrix in matrices:
        rows, columns = matrix.shape
        meant = math.sqrt(max(1, columns / rows) / max(1, rows / columns)) if id(matrix) in turned else 1.0
        groups.setdefault(rate * meant, []).append(matrix)
    return [{"params": group, "lr": own} for own, group in groups.items()]


def joined(parts: "list[torch.optim.Optimizer]") -> "torch.optim.Optimizer":
    """Combine optimizers of disjoint parameters into one that shares their groups, so a schedule reaches them all."""
    import torch

    class Joined(torch.optim.Optimizer):
        def __init__(self) -> None:
            self.parts = parts
            super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
            self.param_groups = [group for part in parts for group in part.param_groups]

        def step(self, closure: None = None) -> None:  # type: ignore[override]
            for part in parts:
                part.step()

        def state_dict(self) -> dict[str, Any]:
            return {str(number): part.state_dict() for number, part in enumerate(parts)}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            for number, part in enumerate(parts):
                part.load_state_dict(state_dict[str(number)])
            self.param_groups = [group for part in parts for group in part.param_groups]

    return Joined()
