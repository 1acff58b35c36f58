"""Run batches in parallel threads, with bit-identical results for any number of threads.

Each batch runs on one thread, so its sums always have the same order; parallelism is across batches. Threads share one
copy of the weights, and torch releases the GIL in its operations.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")

LOGITS = 1 << 26
"""Maximum logits in memory per batch (256 MiB in fp32); reduces `batch_size` if necessary."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run each tensor operation on one thread, for a fixed order of summation."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def inference(model: Any, precision: str) -> Iterator["torch.device"]:
    """The model's device; inside, no gradients are kept, and matrix products are in `precision`."""
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield device


def on_device(arrays: Iterable[np.ndarray], device: "torch.device") -> "list[torch.Tensor]":
    """Arrays as tensors on a device."""
    import torch

    return [torch.from_numpy(array).to(device) for array in arrays]


def map_batches(
    work: Callable[[Batch], Result], batches: Sequence[Batch], model: Any, workers: int
) -> Iterator[tuple[Batch, Result]]:
    """Yield each batch with `work(batch)`, in order; uses `workers` threads if the model is on the CPU."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    with one_thread(), ThreadPoolExecutor(workers if on_cpu else 1) as pool:
        found = pool.map(work, batches)
        try:
            yield from zip(batches, found, strict=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def batches_by_length(lengths: Sequence[int], names: Sequence[str], size: int) -> list[list[int]]:
    """Document indices in batches of `size`, sorted by length, then by `names`: independent of corpus order."""
    order = sorted(range(len(lengths)), key=lambda number: (lengths[number], names[number]))
    return [order[at : at + size] for at in range(0, len(order), size)]
