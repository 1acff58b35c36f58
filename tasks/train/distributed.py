"""The processes of a training on more than one device, and what they tell each other.

`tasks.train.launch` starts them; each is a rank, and only the first, rank 0, writes anything. A training of one process
is a `World` of size 1, which costs nothing.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.runtime import launch_seconds
from tasks.train.identity import differences

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

RANKS = "GRISTMILL_RANKS"
"""Set by the launcher: the folder in which each rank says how it ended."""


@dataclass(frozen=True)
class World:
    """The ranks of a training, as one of them sees them."""

    rank: int = 0
    size: int = 1
    beside: int = 1
    """Ranks on this machine, this one included; they share its cores."""

    @property
    def first(self) -> bool:
        """Whether this rank writes outputs, record, checkpoints and progress."""
        return self.rank == 0

    def gathered(self, values: "torch.Tensor") -> "torch.Tensor":
        """The tensors of all ranks, all of one shape: [size, *shape], the same everywhere."""
        import torch

        if self.size == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        torch.distributed.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def told(self, value: Value) -> list[Value]:
        """The values of all ranks, in their order."""
        import torch

        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def of_first(self, value: Value) -> Value:
        """The value of rank 0."""
        import torch

        if self.size == 1:
            return value
        values = [value if self.first else None]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Until all ranks are here."""
        self.told(None)

    def seed(self, seed: int, step: int) -> None:
        """Give each rank its own random numbers for a step: dropout and noise are then a pure function of seed, rank
        and step, and no checkpoint needs the states of all ranks. One process alone keeps its generator."""
        import numpy as np
        import torch

        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, self.rank, step]).generate_state(1, np.uint64)[0] >> 1))


def join(device: str) -> World:
    """Meet the other ranks, if the launcher started this process; a world of one otherwise.

    `device`: cpu or cuda. Raises TransientError if rank 0 cannot be reached in GRISTMILL_LAUNCH_TIMEOUT seconds.
    """
    if RANKS not in os.environ:
        return World()
    from datetime import timedelta

    import torch

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not torch.distributed.is_initialized():
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        store = None
        try:
            reached = timedelta(seconds=launch_seconds())
            store, _, _ = next(torch.distributed.rendezvous("env://", timeout=reached))
            backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
            torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
        except (torch.distributed.DistError, TimeoutError) as error:
            raise TransientError(f"rank {rank} cannot reach rank 0 at {place}: {one_line(error)[:200]}") from error
    return World(rank, size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


def require_same(world: World, values: Mapping[str, Any], where: str) -> None:
    """Raise GristmillError on all ranks unless they are about to train the same: `values`, what an identity is of."""
    if world.size == 1:
        return
    (host, expected), *others = world.told((socket.gethostname(), dict(values)))
    for rank, (place, found) in enumerate(others, 1):
        if different := differences(expected, found):
            raise GristmillError(
                f"{where}: rank {rank} on {place} would train something else than rank 0 on {host}: {different}; "
                "bring both machines to one commit, and run the earlier stages there"
            )


class NoRecord:
    """In place of `LiveRecord`, for all ranks but the first."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self, failed: bool = False) -> None:
        """Nothing."""


def replicated(net: "torch.nn.Module", loss: "Callable[[Any, Any], torch.Tensor]", device: "torch.device") -> Any:
    """A module whose forward is the loss of a batch, and whose backward averages gradients over ranks: torch's DDP.

    The loss is inside: some tasks run the model twice for one loss, or only parts of it. Weights that a batch does not
    reach on any rank get no gradient, as in one process.
    """
    import torch

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, batch: Any) -> "torch.Tensor":
            return loss(self.net, batch)

    return torch.nn.parallel.DistributedDataParallel(
        Loss(),
        device_ids=[device.index] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
        find_unused_parameters=True,
    )


def summed(values: "torch.Tensor") -> "torch.Tensor":
    """The sum of a tensor over all ranks; without gradients."""
    import torch

    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total
