"""Pass 2, all documents together: which are duplicates of which, by what pass 1 has kept of each.

Documents are numbered through the corpus. Of those that are the same, or nearly, one of the test split has the most
right to stay, then one of the validation split: what a model is scored on was not trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tasks.clean.exact import exact_duplicates
from tasks.clean.rules.verdict import Verdict
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import REJECTED, CleanedShard
from tasks.clean.splits import split_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

PRIORITY = {"test": 0, "validation": 1, "train": 2}
"""The least has the most right to stay."""


@dataclass(frozen=True)
class Found:
    """Documents that go because of another one."""

    reason: str
    threshold: str | None
    documents: "NDArray[np.int64]"
    """In ascending order [found]."""
    keepers: "NDArray[np.int64]"
    """The document that stays for each [found]."""
    similarities: "NDArray[np.float32] | None" = None
    """To that one [found]; None where they are the same."""


class Findings:
    """What pass 2 found, to be asked shard by shard."""

    def __init__(
        self,
        shards: Sequence[CleanedShard],
        first: "NDArray[np.int64]",
        priorities: "NDArray[np.uint8]",
        found: Sequence[Found],
    ) -> None:
        self._first, self._priorities, self._found = first, priorities, found
        keepers = np.unique(np.concatenate([np.empty(0, np.int64), *(some.keepers for some in found)]))
        self._keepers, self._names = keepers, np.empty(len(keepers), object)
        for shard, (start, stop) in zip(shards, pairwise(first.tolist()), strict=True):
            places = slice(*np.searchsorted(keepers, (start, stop)))
            if places.start < places.stop:
                self._names[places] = shard.read("id").column(0).take(keepers[places] - start).to_pylist()

    def priorities(self, shard: int) -> "NDArray[np.uint8]":
        """PRIORITY of the split of each document of a shard [documents]."""
        return self._priorities[self._first[shard] : self._first[shard + 1]]

    def about(self, shard: int) -> dict[int, Verdict]:
        """The verdicts on documents of a shard, by their places in it."""
        start, stop = self._first[shard], self._first[shard + 1]
        verdicts: dict[int, Verdict] = {}
        for some in self._found:
            for k in range(*np.searchsorted(some.documents, (start, stop))):
                keeper = self._names[np.searchsorted(self._keepers, some.keepers[k])]
                value = f"same as {keeper}"
                if some.similarities is not None:
                    value = f"{some.similarities[k]:.3f} with {keeper}"
                verdicts.setdefault(int(some.documents[k] - start), Verdict(some.reason, value, some.threshold))
        return verdicts


def with_verdicts(documents: "pa.RecordBatch", verdicts: Mapping[int, Verdict]) -> "pa.RecordBatch":
    """The documents with these verdicts, by their places, on those that stayed so far."""
    import pyarrow as pa

    if not verdicts:
        return documents
    for name in REJECTED:
        place = documents.schema.get_field_index(name)
        column = documents.column(place).to_pylist()
        for row, verdict in verdicts.items():
            column[row] = getattr(verdict, name)
        documents = documents.set_column(place, documents.schema.field(place), pa.array(column, pa.large_string()))
    return documents


def find(shards: Sequence[CleanedShard], settings: CleanSettings) -> Findings:
    """Ask the rules about the whole corpus. Holds some 60 bytes a document, and what near-duplicates say they do."""
    first = np.cumsum([0, *(shard.documents for shard in shards)])
    stays, priorities = np.empty(first[-1], np.bool_), np.empty(first[-1], np.uint8)
    for shard, (start, stop) in zip(shards, pairwise(first.tolist()), strict=True):
        batch = shard.read("group", "reason")
        stays[start:stop] = batch.column("reason").is_null()
        groups = batch.column("group").dictionary_encode()
        named = [PRIORITY[split_of(group, settings.splits)] for group in groups.dictionary.to_pylist()]
        priorities[start:stop] = np.array(named, np.uint8)[groups.indices]
    found = []
    if settings.exact_duplicates == "drop":
        found.append(Found("duplicate", None, *exact_duplicates(_digests(shards), priorities, stays)))
    if (near := settings.near_duplicates) is not None:
        from tasks.clean.near.duplicates import near_duplicates

        kept = near_duplicates([shard.sketch for shard in shards], near, priorities)
        gone = np.flatnonzero(~kept.staying())
        found.append(
            Found(
                "near_duplicate",
                f"{near.threshold:g}",
                gone,
                kept.keepers[gone].astype(np.int64),
                kept.similarities[gone],
            )
        )
    return Findings(shards, first, priorities, found)


def _digests(shards: Sequence[CleanedShard]) -> "NDArray[np.uint64]":
    """Of every text [documents, 2]."""
    columns = [shard.read("digest").column(0) for shard in shards if shard.documents]
    parts = [np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, 2) for column in columns]
    return np.concatenate([np.empty((0, 2), np.uint64), *parts])
