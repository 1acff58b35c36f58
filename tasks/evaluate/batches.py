"""Work on batches, side by side in threads; the result is the same to the bit for every number of them.

A batch is always computed on one thread, so that each of its sums has one order; what runs at the same time is whole
batches. Threads share one copy of the weights, and torch lets go of the interpreter in each of its operations.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")

LOGITS = 1 << 26
"""Logits of a batch that are in memory at a time (256 MiB as fp32); `batch_size` gives way to it."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Each tensor operation on one thread, so that a sum has one order; what runs side by side is whole batches."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def map_batches(
    work: Callable[[Batch], Result], batches: Sequence[Batch], model: Any, workers: int
) -> Iterator[tuple[Batch, Result]]:
    """Each batch with `work(batch)`, in order; by `workers` threads where the model is on a processor."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    with one_thread(), ThreadPoolExecutor(workers if on_cpu else 1) as pool:
        found = pool.map(work, batches)
        try:
            yield from zip(batches, found, strict=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def batches_by_length(lengths: Sequence[int], names: Sequence[str], size: int) -> list[list[int]]:
    """Numbers of documents in batches of `size`, those of like length together; `names` order what is equally long,
    so that a document's neighbours do not depend on the order of the corpus."""
    order = sorted(range(len(lengths)), key=lambda number: (lengths[number], names[number]))
    return [order[at : at + size] for at in range(0, len(order), size)]
