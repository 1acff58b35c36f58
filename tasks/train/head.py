"""The output matrix of a model: which of its inputs become logits, and what the model does with the logits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.train import chunked
from tasks.train.batches import Batch

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LARGE = 1 << 26
"""Logits in a batch from which the loss is computed in chunks (`tasks.train.chunked`); whole, they and their gradients
would take 0.8 GB. Below, chunks save nothing, and a compiler does better with the whole."""
LOUD, QUIET = 200.0, 1.0
"""Standard deviations of the logits with which the tail is found: a cap bends the first, not the second."""


@dataclass(frozen=True)
class Tail:
    """What a model does with the product of its head: cap(scale · product + offset)."""

    scale: float = 1.0
    offset: "torch.Tensor | None" = None
    """[vocabulary]; a constant."""
    cap: float = 0.0
    """cap · tanh(· / cap); 0: none."""


class Head:
    """A hook on the output matrix. It stays there, since a compiler compiles again when hooks come and go."""

    def __init__(self, module: "torch.nn.Linear") -> None:
        self.module = module
        self.tail: Tail | None = None
        """None: not known, or not of the form of `Tail`; then all logits are computed as the model does."""
        self.losses_of: dict[bool, Any] = {}
        """The functions of `tasks.train.chunked`, by whether each row has a loss of its own."""
        self.shape: torch.Size | None = None
        """Of the labels, while a loss is computed: the head's input [*shape, d] is then taken as follows."""
        self.asked: torch.Tensor | None = None
        """Only these of its rows; None: all."""
        self.catching = False
        """Whether the rows are kept in `hidden` and the model goes on with the logits of one."""
        self.hidden: torch.Tensor | None = None
        """[rows, d], in the precision of the product."""
        self.given: torch.Tensor | None = None
        """Given to the matrix instead of its input, to find the tail."""
        module.register_forward_pre_hook(self)

    def __call__(self, _: object, inputs: "tuple[torch.Tensor]") -> "tuple[torch.Tensor] | None":
        """The matrix's input instead of `inputs`, or None: the same."""
        hidden = inputs[0]
        if self.given is not None:
            return (self.given,)
        if self.shape is None or hidden.shape[:-1] != self.shape:
            return None
        if self.asked is not None:
            hidden = hidden.flatten(0, -2)[self.asked]
        if self.catching:
            self.hidden = _as_multiplied(hidden.flatten(0, -2))
            hidden = hidden[..., :1, :]
        return (hidden,)

    def large(self, rows: int) -> bool:
        """Whether the logits of so many rows are computed in chunks."""
        return self.tail is not None and rows * self.module.out_features > LARGE

    def losses(self, labels: "torch.Tensor", smoothing: float = 0.0, by_row: bool = False) -> "torch.Tensor":
        """The summed loss of the rows that were caught, or the loss of each, for their labels [rows]; float32."""
        hidden, tail, self.hidden = self.hidden, self.tail, None
        assert hidden is not None and tail is not None
        bias: torch.Tensor | None = self.module.bias
        if tail.scale != 1:
            hidden = hidden * tail.scale
            bias = None if bias is None else bias * tail.scale
        if tail.offset is not None:
            offset = tail.offset.to(hidden.device)
            bias = offset if bias is None else bias + offset
        found: torch.Tensor = self.losses_of[by_row](hidden, self.module.weight, bias, labels, smoothing, tail.cap)
        return found


def head_of(model: "PreTrainedModel") -> Head | None:
    """The hook on a model's head; None if the model has none, or one that is more than a matrix (with LoRA)."""
    import torch

    module = bare(model).get_output_embeddings()
    if not isinstance(module, torch.nn.Linear):
        return None
    found: Head | None = module.__dict__.get("hook")
    if found is None or found.module is not module:
        found = module.__dict__["hook"] = Head(module)
    return found


def bare(model: Any) -> Any:
    """A model without what compiles it or copies it to more devices."""
    import torch

    model = getattr(model, "_orig_mod", model)
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model


def find_tail(model: "PreTrainedModel", batch: Batch) -> None:
    """Find out what a float32 model does with its logits, if those of a batch are large enough for chunks.

    The head gets an input of zeros, one that makes small logits and one that makes large ones; everything before it
    is without effect. Before the model is compiled or moved to another precision. `batch`: any of the training; others
    may be up to 4 times as large.
    """
    import torch

    head = head_of(model)
    if head is None or head.module.weight.dtype != torch.float32:
        return
    weight = head.module.weight
    if 4 * batch["labels"].numel() * len(weight) <= LARGE:
        return
    inputs = {
        name: batch[name][:1, :8].to(weight.device) for name in ("input_ids", "decoder_input_ids") if name in batch
    }
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, weight.shape[1], generator=generator).to(weight.device)
    drawn /= torch.nn.functional.linear(drawn, weight.detach()).std(dim=1, keepdim=True).clamp(min=1e-6)
    head.given = torch.cat([torch.zeros_like(drawn[:1]), QUIET * drawn[:1], LOUD * drawn[1:]])[None]
    training = model.training
    model.eval()
    try:
        outputs = model(**inputs)
        made = outputs.logits if "logits" in outputs else outputs.prediction_logits
        products = torch.nn.functional.linear(head.given[0], weight, head.module.bias).detach()
    finally:
        head.given = None
        model.train(training)
    head.tail = _tail(products, made[0]) if _alone(model, head, made) else None
    head.losses_of = {False: chunked.summed(), True: chunked.by_row()}


def _alone(model: "PreTrainedModel", head: Head, logits: "torch.Tensor") -> bool:
    """Whether no other trained weight than the head's has a part in the logits of an input of the head."""
    import torch

    own = {id(parameter) for parameter in head.module.parameters()}
    others = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in own]
    if not others or not logits.requires_grad:
        return True
    return all(slope is None for slope in torch.autograd.grad(logits.sum(), others, allow_unused=True))


def _tail(products: "torch.Tensor", logits: "torch.Tensor") -> Tail | None:
    """The tail that makes these logits from these products, both [zero, small, large; vocabulary]."""
    import torch

    if products.shape != logits.shape:
        return None
    x, y = products.double(), logits.detach().double()

    def fits(tail: Tail) -> bool:
        made = tail.scale * x + (0 if tail.offset is None else tail.offset.double())
        made = tail.cap * torch.tanh(made / tail.cap) if tail.cap else made
        errors, scales = (made - y).abs().amax(dim=1), y.abs().amax(dim=1)
        return bool((errors <= 1e-4 * scales + 1e-6).all())

    if fits(Tail()):
        return Tail()
    run, rise = x[2] - x[0], y[2] - y[0]
    scale = float(run @ rise / (run @ run))
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    offset = (y[0] - scale * x[0]).float()
    cap = float(y[2].abs().max())
    tries = (Tail(scale, offset if offset.any() else None), Tail(cap=cap))
    return next((tail for tail in tries if fits(tail)), None)


def _as_multiplied(hidden: "torch.Tensor") -> "torch.Tensor":
    """In the precision in which autocast would multiply it."""
    import torch

    kind = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else hidden
