"""One rank's share of the micro-batches of each step.

Global batch and order are the recipe's, whatever the number of ranks. If it divides `accumulation`, each rank gets
whole micro-batches; otherwise each gets some rows of every micro-batch, as equal in number as they can be. A rank
without a row in a micro-batch gets the first one, with weight 0: all ranks go through as many micro-batches.

A share has, beside the keys of its batch,

counted               [items, 0]: how many items the step's other ranks and this one have in it together; a shape, which
                      is known without waiting for the device. `taken_off` removes it
share                 float32, of a part of a preference batch: its pairs / those of the micro-batch
next_sentence_items   float32, of a part with next-sentence labels: the items that the mean over its pairs counts for
idle                  [0], if the rank has no row
"""

from tasks.train.batches import Batch, Batches, count_items, find_asked
from tasks.train.distributed import World

COUNTED = "counted"
MISMATCHED_ASKED, ASKED = "mismatched_asked", "asked"


class Dealt(Batches):
    """The share of one rank in the batches of a training, by the positions of `positions`."""

    def __init__(self, whole: Batches, world: World, accumulation: int) -> None:
        self.whole, self.world = whole, world
        self.by_rows = accumulation % world.size != 0
        self.count, self.width = whole.count, whole.width

    def positions(self, first: int, last: int) -> range:
        """The positions of this rank's shares from the micro-batch `first` until before `last`, both between steps."""
        return range(first, last) if self.by_rows else range(first + self.world.rank, last, self.world.size)

    def position(self, number: int) -> int:
        """The position of this rank's share of this number, from 0."""
        return number if self.by_rows else number * self.world.size + self.world.rank

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        import torch

        if self.by_rows:
            whole = find_asked(self.whole.batch(position))
            items, own = count_items(whole), rows_of(whole, self.world.rank, self.world.size)
        else:
            first = position - self.world.rank
            others = [find_asked(self.whole.batch(first + rank)) for rank in range(self.world.size)]
            items, own = sum(map(count_items, others)), others[self.world.rank]
        return own | {COUNTED: torch.empty(items, 0)}


def taken_off(batch: Batch) -> int:
    """Remove the number of items that a batch counts for in its step, and return it."""
    return len(batch.pop(COUNTED)) if COUNTED in batch else count_items(batch)


def rows_of(batch: Batch, rank: int, size: int) -> Batch:
    """The rows of a rank: [start, stop) of the batch's n rows, start = n · rank // size. Of preferences, n pairs, each
    with its row among the chosen answers and its row among the rejected ones."""
    import torch

    pairs = "pairs" in batch
    n = len(batch["pairs" if pairs else "input_ids"])
    start, stop = n * rank // size, n * (rank + 1) // size
    idle = start == stop
    rows = slice(0, 1) if idle else slice(start, stop)
    part = {}
    for name, values in batch.items():
        if name in (ASKED, MISMATCHED_ASKED):
            continue
        twice = pairs and name != "pairs"
        part[name] = values.unflatten(0, (2, n))[:, rows].flatten(0, 1) if twice else values[rows]
    part = find_asked(part)
    if MISMATCHED_ASKED in batch:
        others = find_asked({"labels": part["mismatched_labels"]})
        part[MISMATCHED_ASKED] = others[ASKED]
    share = (stop - start) / n
    if pairs:
        part["share"] = torch.tensor(share)
    if "next_sentence_label" in batch:
        part["next_sentence_items"] = torch.tensor(share * count_items(batch))
    if idle:
        part["idle"] = torch.empty(0)
    return part
