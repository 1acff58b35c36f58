"""The output matrix and its cross-entropy in chunks of rows: the logits of a whole batch are never in memory.

With n rows and a vocabulary of V, logits and their gradients take 12 n V bytes, more than all layers of a small model;
here they take that of one chunk. As in Hsu et al. 2024 (Liger Kernel, https://arxiv.org/abs/2410.10989, section 3.2)
the gradients of a sum are computed together with it, so nothing is computed twice. torch's own
`linear_cross_entropy` has neither label smoothing nor a cap on logits, sums bf16 gradients of the chunks in bf16, and
splits a compiled graph.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.formats.rows import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

    Losses = Callable[[Tensor, Tensor, Tensor | None, Tensor, float, float], Tensor]
    """(hidden, weight, bias, labels, smoothing, cap) → the loss of logits = hidden @ weight.T + bias [n, V]

    hidden     [n, d], in the precision of the products
    weight     [V, d]
    bias       [V], or None
    labels     int64 [n], IGNORED where there is no loss
    smoothing  of the labels, as in torch's `cross_entropy`
    cap        > 0: logits are cap · tanh(logits / cap) (Gemma Team 2024, https://arxiv.org/abs/2408.00118, section 2)
    """

ALIGNED = {"cpu": 1, "cuda": 64}
"""The columns of the logits are padded to a multiple of this. On a GPU, matrix products with rows that do not begin at
multiples of 16 bytes, like those of 50,257 numbers, are several times slower."""
CHUNK = {"cpu": 1 << 25, "cuda": 1 << 27}
"""Logits in a chunk: enough rows for the sum of the matrix's gradients, which each chunk reads and writes, to be
cheap."""


@cache
def summed() -> "Losses":
    """The summed cross-entropy, a float32 scalar; its gradients are computed in the forward pass."""
    import torch

    operation = _operation()

    class Summed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, labels: Any, smoothing: float, cap: float) -> Any:
            ctx.wanted, ctx.dtypes = _wanted(hidden, weight, bias), _dtypes(hidden, weight, bias)
            compiled = torch.compiler.is_compiling()
            losses, *found = operation(hidden, weight, bias, labels, None, smoothing, cap, ctx.wanted, compiled)
            ctx.save_for_backward(*found)
            return losses.sum()

        @staticmethod
        def backward(ctx: Any, slope: Any) -> Any:
            scaled = [part * slope.to(part.dtype) for part in ctx.saved_tensors]
            return *_as_given(scaled, ctx.wanted, ctx.dtypes), None, None, None

    return Summed.apply


@cache
def by_row() -> "Losses":
    """The cross-entropy of each row, float32 [n]; the backward pass computes the logits again."""
    import torch

    operation = _operation()

    class ByRow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, labels: Any, smoothing: float, cap: float) -> Any:
            ctx.wanted, ctx.dtypes = _wanted(hidden, weight, bias), _dtypes(hidden, weight, bias)
            ctx.smoothing, ctx.cap, ctx.compiled = smoothing, cap, torch.compiler.is_compiling()
            ctx.save_for_backward(hidden, weight, bias, labels)
            return operation(hidden, weight, bias, labels, None, smoothing, cap, [False] * 3, ctx.compiled)[0]

        @staticmethod
        def backward(ctx: Any, slopes: Any) -> Any:
            given = (*ctx.saved_tensors, slopes, ctx.smoothing, ctx.cap)
            found = operation(*given, ctx.wanted, ctx.compiled)[1:]
            return *_as_given(found, ctx.wanted, ctx.dtypes), None, None, None

    return ByRow.apply


def _wanted(*inputs: "Tensor | None") -> list[bool]:
    return [part is not None and part.requires_grad for part in inputs]


def _dtypes(*inputs: "Tensor | None") -> list[Any]:
    return [None if part is None else part.dtype for part in inputs]


def _as_given(found: "Sequence[Tensor]", wanted: list[bool], dtypes: list[Any]) -> "list[Tensor | None]":
    """The gradients that are needed, each in the precision of its input."""
    return [part.to(dtype) if needed else None for part, needed, dtype in zip(found, wanted, dtypes, strict=True)]


@cache
def _operation() -> Any:
    """`_head_losses` as one operation, into which a compiler does not look, whatever the number of chunks."""
    import torch

    schema = (
        "(Tensor hidden, Tensor weight, Tensor? bias, Tensor labels, Tensor? factors, float smoothing, float cap, "
        "bool[] wanted, bool compiled) -> (Tensor, Tensor, Tensor, Tensor)"
    )
    operation = torch.library.custom_op("gristmill::head_losses", _head_losses, mutates_args=(), schema=schema)
    operation.register_fake(lambda hidden, weight, *rest: _empty(hidden, weight, rest[-2]))
    return operation


def _head_losses(
    hidden: "Tensor",
    weight: "Tensor",
    bias: "Tensor | None",
    labels: "Tensor",
    factors: "Tensor | None",
    smoothing: float,
    cap: float,
    wanted: list[bool],
    compiled: bool,
) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """The losses [n], and the gradients of their sum, weighted by `factors` [n], by hidden, weight and bias as far as
    `wanted`, else empty. `compiled`: with one kernel for each chunk of logits."""
    from torch.nn.functional import pad

    aligned, most = (table.get(hidden.device.type, table["cpu"]) for table in (ALIGNED, CHUNK))
    size = len(weight)
    padded = -(-size // aligned) * aligned
    matrix = pad(weight.to(hidden.dtype), (0, 0, 0, padded - size))
    added = None if bias is None else pad(bias.to(hidden.dtype), (0, padded - size))
    there = (labels != IGNORED).float()
    factors = there if factors is None else there * factors
    weighted = hidden * factors[:, None].to(hidden.dtype)
    losses, by_hidden, by_weight, by_bias = _empty(hidden, weight, wanted)
    by_weight.zero_()
    by_bias.zero_()
    measure = _kernel() if compiled else _measure
    rows = max(most // padded, 1)
    for start in range(0, len(hidden), rows):
        chunk = slice(start, start + rows)
        logits = hidden[chunk] @ matrix.T if added is None else added.addmm(hidden[chunk], matrix.T)
        losses[chunk], slopes = measure(logits, labels[chunk].clamp(min=0), smoothing, cap, size, any(wanted))
        if wanted[0]:
            by_hidden[chunk] = slopes @ matrix
        if wanted[1]:
            by_weight += (slopes.T @ weighted[chunk])[:size]
        if wanted[2]:
            by_bias += (slopes.T @ factors[chunk].to(slopes.dtype))[:size]
    if wanted[0]:
        by_hidden *= factors[:, None].to(hidden.dtype)
    return losses * there, by_hidden, by_weight, by_bias


def _empty(hidden: "Tensor", weight: "Tensor", wanted: list[bool]) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """Room for the losses and the wanted gradients; sums over chunks are in float32."""
    import torch

    return (
        hidden.new_empty(hidden.shape[:1], dtype=torch.float32),
        hidden.new_empty(hidden.shape if wanted[0] else (0,)),
        weight.new_empty(weight.shape if wanted[1] else (0,), dtype=torch.float32),
        weight.new_empty(weight.shape[:1] if wanted[2] else (0,), dtype=torch.float32),
    )


@cache
def _kernel() -> "Callable[..., tuple[Tensor, Tensor]]":
    """`_measure`, compiled."""
    import torch

    return torch.compile(_measure, dynamic=True)


def _measure(
    logits: "Tensor", labels: "Tensor", smoothing: float, cap: float, size: int, sloped: bool
) -> "tuple[Tensor, Tensor]":
    """The losses [n] of logits [n, padded], and their gradients by these; only the first `size` columns are real."""
    import torch

    scores = logits.float()
    bent = torch.tanh(scores / cap) if cap else None
    if bent is not None:
        scores = cap * bent
    if scores.shape[1] > size:
        scores[:, size:] = -torch.inf
    log_p = torch.log_softmax(scores, dim=1)
    at = labels[:, None]
    losses = -log_p.gather(1, at)[:, 0]
    if smoothing:
        losses = (1 - smoothing) * losses - smoothing * log_p[:, :size].mean(dim=1)
    if not sloped:
        return losses, logits
    slopes = log_p.exp_()
    slopes.scatter_(1, at, slopes.gather(1, at) - (1 - smoothing))
    if smoothing:
        slopes[:, :size] -= smoothing / size
    if bent is not None:
        slopes *= 1 - bent**2
    return losses, slopes.to(logits.dtype)
