"""Operations in the form in which torch's compiler makes few and fast kernels of them, for processors."""

from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.formats.rows import IGNORED
from tasks.train.head import bare

if TYPE_CHECKING:
    import torch
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel


def cross_entropy(rows: "torch.Tensor", labels: "torch.Tensor", smoothing: float = 0.0) -> "torch.Tensor":
    """The summed cross-entropy of logits `rows` float32 [n, V] with `labels` int64 [n], a scalar; not of IGNORED.

    Equal to torch's with `reduction="sum"`, whose gradient a compiler computes from three tensors of [n, V] float32.
    The gradient of this one needs no sum over V, so it is written once, in the precision of the product before. For
    2,048 rows and a vocabulary of 2,048 it takes 0.9 ms instead of 4.2, of a step of 40.
    """
    import torch

    there = labels != IGNORED
    highest = rows.detach().amax(1, keepdim=True)
    total = highest.squeeze(1) + (rows - highest).exp().sum(1).log()
    own = torch.arange(rows.shape[1], device=rows.device) == labels[:, None]
    aimed = torch.where(own, rows, 0.0).sum(1)
    if smoothing:
        aimed = (1 - smoothing) * aimed + smoothing * rows.mean(1)
    return torch.where(there, total - aimed, 0.0).sum()


def keep_rotations(model: "PreTrainedModel") -> "list[RemovableHandle]":
    """Compute the sines of rotary positions once a step: the handles of the hooks that see to it.

    A compiler would compute them again for each head and each use, forward and backward. Behind an operation into which
    it does not look they are tensors in memory, whose values are the same.
    """
    kept = _kept()

    def keep(_: Any, __: Any, found: Any) -> Any:
        plain = isinstance(found, tuple) and not any(each.requires_grad for each in found)
        return tuple(map(kept, found)) if plain else found

    modules = [module for module in bare(model).modules() if type(module).__name__.endswith("RotaryEmbedding")]
    return [module.register_forward_hook(keep) for module in modules]


@cache
def _kept() -> Any:
    import torch

    @torch.library.custom_op("gristmill::kept", mutates_args=())
    def kept(angles: torch.Tensor) -> torch.Tensor:
        return angles.clone()

    kept.register_fake(torch.empty_like)
    return kept
