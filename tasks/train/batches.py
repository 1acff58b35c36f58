"""The interface of all batches.

A batch holds the tensors for the model's `forward`, plus

labels  int64, the target of each position of the logits, IGNORED where there is no loss
asked   int64 [items], positions in the flattened labels that have a target; `loader` adds it

Each batch is a pure function of seed and position, so resuming needs one integer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from tasks.formats.rows import IGNORED

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]


class Batches(ABC):
    """Batches by position: unlimited for training, `count` for validation."""

    count: int
    """Batches in one pass."""
    width: int
    """Maximum sequence length in tokens."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """The batch at a position."""

    def size(self, position: int) -> int:
        """Tokens of the batch at a position, padding not counted."""
        return int(self.batch(position)["input_ids"].numel())

    def seen(self, positions: int) -> dict[str, dict[str, float]]:
        """Mixtures: how often the first `positions` batches went through each source; empty for one source."""
        return {}

    def loader(self, positions: range, device: "torch.device") -> Iterator[Batch]:
        """Yield the batches at `positions`, on a device.

        The call draws one number from torch's generator, as a pass over a DataLoader does. On a GPU, a thread makes
        the batches ahead and pins them, so that their copies are asynchronous; on a CPU it would only take a core.
        """
        import torch

        torch.empty((), dtype=torch.int64).random_()  # models and checkpoints have the numbers that follow it
        batches = (find_asked(self.batch(position)) for position in positions)
        if device.type != "cuda":
            return ({name: part.to(device) for name, part in batch.items()} for batch in batches)

        def pinned() -> Iterator[Batch]:
            torch.cuda.set_device(device)  # of the thread that this runs in
            for batch in batches:
                yield {name: part.pin_memory() for name, part in batch.items()}

        return ({name: part.to(device, non_blocking=True) for name, part in batch.items()} for batch in ahead(pinned()))


def ahead(items: Iterable[Batch], most: int = 2) -> Iterator[Batch]:
    """The same items, of which a thread makes up to `most` ahead; the thread ends with the iterator."""
    made: Queue[Batch | BaseException | None] = Queue(most)
    over = Event()

    def put(item: Batch | BaseException | None) -> None:
        while not over.is_set():
            try:
                return made.put(item, timeout=0.1)
            except Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item)
                if over.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001  raised where the item is wanted
            put(error)

    thread = Thread(target=make, name="batches", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Data:
    """Training and validation batches."""

    training: Batches
    validation: Batches
    facts: dict[str, Any] = field(default_factory=dict)
    """For the report: share of padding, counts of truncated and dropped documents."""


def find_asked(batch: Batch) -> Batch:
    """Add `asked` to a batch. Done on the CPU, because `nonzero` on a GPU waits for all queued work."""
    return batch | {"asked": (batch["labels"].flatten() != IGNORED).nonzero().flatten()}


def count_items(batch: Batch) -> int:
    """The number of items in a batch: tokens, documents for classification, pairs for preferences."""
    return len(batch["pairs" if "pairs" in batch else "asked"])
