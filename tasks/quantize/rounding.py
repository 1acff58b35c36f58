"""Float weights → integers and scales: rounded to nearest, or one column after the other so that errors cancel (GPTQ).

Symmetric: a weight is about `scale * integer`, with the integers from -(2^(bits-1) - 1) to 2^(bits-1) - 1, and a scale
for each output, or for each group of inputs of an output.
"""

from typing import TYPE_CHECKING

from tasks.quantize.layers import Rounded

if TYPE_CHECKING:
    import torch

DAMPING = 0.01
"""Share of the mean second moment that is added to all of them, for the inverse (Frantar et al. 2022, section 3.3)."""
BLOCK = 128
"""Columns between two updates of the columns to come (Frantar et al. 2022, section 3.3)."""
SHRUNK = 20
"""Smaller scales that are tried, down to SMALLEST of the one that clips nothing."""
SMALLEST = 0.6


def round_weights(weights: "torch.Tensor", bits: int, group: int | None, moments: "torch.Tensor | None") -> Rounded:
    """Round float32 weights [out, in]; `group`: inputs that share a scale, None for all of them.

    `moments`: the sum of x xᵀ over inputs x of the layer, float32 [in, in]. With them, the columns are rounded one
    after the other, and the columns to come make up for the error so far (GPTQ, Frantar et al. 2022,
    https://arxiv.org/abs/2210.17323, algorithm 1), those with the largest inputs first, with scales set beforehand.
    """
    import torch

    rows, columns = weights.shape
    group = group or columns
    importance = torch.ones(columns) if moments is None else moments.diagonal().clamp(min=0)
    scales = _scales(weights.reshape(rows, -1, group), importance.reshape(-1, group), bits)
    if moments is None:
        return Rounded(_nearest(weights, scales.repeat_interleave(group, 1), bits).to(torch.int8), scales, bits)
    order = importance.argsort(descending=True, stable=True)
    of_column = scales.repeat_interleave(group, 1)[:, order]
    integers = torch.empty(rows, columns, dtype=torch.int8)
    integers[:, order] = _one_by_one(weights[:, order], of_column, moments[order][:, order], bits)
    return Rounded(integers, scales, bits)


def _scales(grouped: "torch.Tensor", importance: "torch.Tensor", bits: int) -> "torch.Tensor":
    """The scale of each group, of those tried, with the smallest squared error weighted by importance.

    grouped [out, groups, group], importance [groups, group]
    """
    import torch

    most = 2 ** (bits - 1) - 1
    whole = grouped.abs().amax(-1) / most
    whole = torch.where(whole > 0, whole, 1.0)
    best, smallest = whole, torch.full_like(whole, torch.inf)
    for step in range(SHRUNK):
        scales = whole * (1 - step / SHRUNK * (1 - SMALLEST))
        errors = (_nearest(grouped, scales[..., None], bits) * scales[..., None] - grouped).square()
        error = (errors * importance).sum(-1)
        best = torch.where(error < smallest, scales, best)
        smallest = torch.minimum(error, smallest)
    return best


def _nearest(weights: "torch.Tensor", scales: "torch.Tensor", bits: int) -> "torch.Tensor":
    most = 2 ** (bits - 1) - 1
    return (weights / scales).round().clamp(-most, most)


def _one_by_one(weights: "torch.Tensor", scales: "torch.Tensor", moments: "torch.Tensor", bits: int) -> "torch.Tensor":
    """The integers [out, in] of weights [out, in], with a scale for each [out, in]; see `round_weights`."""
    import torch

    weights, moments = weights.clone(), moments.double()
    unused = moments.diagonal() <= 0
    moments.diagonal()[unused] = 1.0
    weights[:, unused] = 0.0  # an input that was always 0: nothing to make up for
    moments.diagonal().add_(DAMPING * moments.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments))
    upper = torch.linalg.cholesky(inverse, upper=True).to(weights.dtype)
    integers = torch.empty(weights.shape, dtype=torch.int8)
    columns = weights.shape[1]
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        errors = torch.empty(len(weights), end - start)
        for column in range(start, end):
            rounded = _nearest(weights[:, column], scales[:, column], bits)
            integers[:, column] = rounded.to(torch.int8)
            error = (weights[:, column] - rounded * scales[:, column]) / upper[column, column]
            weights[:, column:end] -= error[:, None] * upper[column, column:end]
            errors[:, column - start] = error
        weights[:, end:] -= errors @ upper[start:end, end:]
    return integers
