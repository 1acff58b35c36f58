"""A model in memory: its positions, the number format of its matrices, and what is raised if it cannot be loaded."""

from pickle import UnpicklingError
from typing import Any


def unfit() -> tuple[type[Exception], ...]:
    """What transformers, torch and safetensors raise for files of a model that are damaged, inconsistent or hostile."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return (
        OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, RuntimeError,
        ImportError, EOFError, UnpicklingError, StrictDataclassError, SafetensorError,
    )  # fmt: skip


def positions(model: Any) -> int | None:
    """Maximum tokens of an input; None if the architecture sets no limit.

    RoBERTa and its relatives number positions after the padding id, so they have fewer than max_position_embeddings.
    """
    import torch

    embeddings = (m for name, m in model.named_modules() if name.endswith("position_embeddings"))
    for table in embeddings:
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            return table.num_embeddings - table.padding_idx - 1
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def hold_in_bf16(model: Any) -> None:
    """Convert the frozen matrices of linear layers to bfloat16, once.

    For a model that runs under `torch.autocast` to bfloat16, which would convert them in every pass: outputs stay
    bit-identical. A matrix tied to an embedding becomes a separate one.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
            module.weight = torch.nn.Parameter(module.weight.detach().bfloat16(), requires_grad=False)
