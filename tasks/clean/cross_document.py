"""Pass 2: compares documents with each other, from the files that pass 1 left for each row group.

Documents are numbered through the corpus. Shared text stays in the test split, else in the validation split, so a model
is never scored on text it was trained on. The rules run in order, each on the documents kept so far: exact duplicates,
near-duplicates, contamination, repeated paragraphs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tasks.clean.documents import REJECTED, without_personal_data
from tasks.clean.exact import GONE, PRIORITY, exact_duplicates
from tasks.clean.rewrite import rewrite
from tasks.clean.rules.near.settings import ContaminationSettings
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard
from tasks.clean.splits import split_of
from tasks.clean.verdict import SIDES, Side, Verdict, of_side
from tasks.stage.runtime import engine
from tasks.workers.parallel_map import parallel_map

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tasks.clean.rules.near.contamination import Overlaps


class Found(Protocol):
    """The documents dropped by one rule."""

    @property
    def documents(self) -> "NDArray[np.int64]":
        """In ascending order [found]."""

    @property
    def keepers(self) -> "NDArray[np.int64]":
        """Documents named by id in the verdicts [found], or empty."""

    def verdict(self, place: int, name: Callable[[int], str]) -> Verdict:
        """The verdict on the document at a place; `name` gives the id of a keeper."""


@dataclass(frozen=True)
class Duplicates:
    """Documents dropped as exact or near-duplicates of a kept one."""

    documents: "NDArray[np.int64]"
    keepers: "NDArray[np.int64]"
    similarities: "NDArray[np.float32] | None" = None
    """Jaccard similarity to the keeper [found]; None for exact duplicates."""
    threshold: float | None = None

    def verdict(self, place: int, name: Callable[[int], str]) -> Verdict:
        """`duplicate` or `near_duplicate`, with the id of the kept document. A near-duplicate may be near only to
        other members of its cluster."""
        keeper = name(int(self.keepers[place]))
        if self.similarities is None or self.threshold is None:
            return Verdict("duplicate", f"same as {keeper}", None)
        similarity = self.similarities[place]
        through = ", through others" if similarity < np.float32(self.threshold) else ""
        return Verdict("near_duplicate", f"{similarity:.3f} with {keeper}{through}", f"{self.threshold:g}")


@dataclass(frozen=True)
class Contaminated:
    """Documents dropped because they share too much text with the evaluation sets."""

    documents: "NDArray[np.int64]"
    overlaps: "Overlaps"
    """Their overlaps with the evaluation sets."""
    settings: ContaminationSettings
    side: Side

    @property
    def keepers(self) -> "NDArray[np.int64]":
        """Empty: contamination names no other document."""
        return np.empty(0, np.int64)

    def verdict(self, place: int, name: Callable[[int], str]) -> Verdict:
        """`contaminated` or `target_contaminated`, with the shared amount."""
        verdict = self.overlaps.verdict(place, self.settings)
        assert verdict is not None
        return of_side(self.side, verdict)


class CrossDocument:
    """The verdicts of the rules about the whole corpus, row group by row group.

    facts               for the report
    staying_paragraphs  masks of the kept paragraphs by row group; None if the settings keep all
    """

    def __init__(
        self, shards: Sequence[CleanedShard], first: "NDArray[np.int64]", found: Sequence[Found],
        facts: dict[str, object], staying_paragraphs: "list[NDArray[np.bool_]] | None",
    ) -> None:  # fmt: skip
        import pyarrow as pa

        self._first, self._found = first, found
        self._keepers = np.unique(np.concatenate([np.empty(0, np.int64), *(some.keepers for some in found)]))
        names = [pa.array([], pa.large_string())]
        for shard, (start, stop) in zip(shards, pairwise(first.tolist()), strict=True):
            here = self._keepers[slice(*np.searchsorted(self._keepers, (start, stop)))]
            if len(here):
                names.append(shard.read("id").column(0).take(here - start))
        self._names = pa.concat_arrays(names)
        self.facts = facts
        self.staying_paragraphs = staying_paragraphs

    def about(self, number: int) -> dict[int, Verdict]:
        """The verdicts on the documents of a row group, by row."""
        start, stop = self._first[number], self._first[number + 1]
        return {
            int(some.documents[place] - start): some.verdict(place, self._name)
            for some in self._found
            for place in range(*np.searchsorted(some.documents, (start, stop)))
        }

    def _name(self, keeper: int) -> str:
        return str(self._names[int(np.searchsorted(self._keepers, keeper))])


def find(shards: Sequence[CleanedShard], settings: CleanSettings, scratch: Path, processes: int) -> CrossDocument:
    """Apply the rules about the whole corpus. Memory: some 60 bytes per document, plus what each rule states, plus the
    ids of kept duplicates.

    `scratch`: a folder for files that the worker processes share.
    """
    first = np.cumsum([0, *(shard.documents for shard in shards)])
    priorities = _priorities(shards, settings)
    found: list[Found] = []
    facts: dict[str, object] = {}
    if settings.exact_duplicates == "drop":
        found.append(Duplicates(*exact_duplicates(_digests(shards), priorities, priorities != GONE)))
        priorities[found[-1].documents] = GONE
    if (near := settings.near_duplicates) is not None:
        from tasks.clean.rules.near.duplicates import near_duplicates

        shared = None if engine()[0] == "processes" else scratch / "documents.npy"
        kept = near_duplicates([shard.sketch for shard in shards], near, priorities, shared=shared)
        gone = np.flatnonzero(~kept.staying() & (priorities != GONE))
        found.append(Duplicates(gone, kept.keepers[gone].astype(np.int64), kept.similarities[gone], near.threshold))
        priorities[gone] = GONE
        facts["near_duplicate_bytes_per_document"] = round(kept.stored / max(len(priorities), 1), 1)
    if settings.contamination is not None:
        index = scratch / "evaluation.index"
        facts["evaluation_texts_too_short"] = _index_evaluation_texts(shards, first, priorities, settings, index)
        for some in _contaminated(shards, first, priorities, settings.contamination, index, processes):
            found.append(some)
            priorities[some.documents] = GONE
        index.unlink()
    staying = None
    if settings.duplicate_paragraphs is not None:
        from tasks.clean.rules.near.paragraphs import first_paragraphs

        staying = first_paragraphs([shard.paragraphs for shard in shards], priorities)
    return CrossDocument(shards, first, found, facts, staying)


def with_verdicts(documents: "pa.RecordBatch", verdicts: Mapping[int, Verdict]) -> "pa.RecordBatch":
    """The documents with these verdicts added, by row."""
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


def _priorities(shards: Sequence[CleanedShard], settings: CleanSettings) -> "NDArray[np.uint8]":
    """PRIORITY of each document's split, or GONE if pass 1 dropped it [documents]."""
    parts = [np.empty(0, np.uint8)]
    for shard in shards:
        batch = shard.read("group", "reason")
        groups = batch.column("group").dictionary_encode()
        named = [PRIORITY[split_of(group, settings.splits)] for group in groups.dictionary.to_pylist()]
        of_group = np.array(named, np.uint8)[groups.indices.to_numpy()]
        parts.append(np.where(batch.column("reason").is_null().to_numpy(False), of_group, np.uint8(GONE)))
    return np.concatenate(parts)


def _digests(shards: Sequence[CleanedShard]) -> "NDArray[np.uint64]":
    """The digest of every text [documents, 2]."""
    columns = [shard.read("digest").column(0) for shard in shards if shard.documents]
    parts = [np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, 2) for column in columns]
    return np.concatenate([np.empty((0, 2), np.uint64), *parts])


def _index_evaluation_texts(
    shards: Sequence[CleanedShard],
    first: "NDArray[np.int64]",
    priorities: "NDArray[np.uint8]",
    settings: CleanSettings,
    path: Path,
) -> int:
    """Write the n-grams of the kept test documents and of the listed files, which are cleaned like the corpus.

    Returns the number of texts too short to search for.
    """
    import pyarrow as pa

    from tasks.clean.rules.near.contamination import EvaluationIndex
    from tasks.clean.rules.near.evaluation_files import texts_in

    chosen = settings.contamination
    assert chosen is not None

    def columns() -> "Iterator[pa.Array]":
        for shard, (start, stop) in zip(shards, pairwise(first.tolist()), strict=True):
            if (tested := priorities[start:stop] == PRIORITY["test"]).any():
                for column in shard.read(*SIDES).columns:
                    yield column.filter(pa.array(tested)).drop_null()
        for file in chosen.files:
            for texts in texts_in(Path(file)):
                yield _as_documents(texts, settings)

    index = EvaluationIndex.of_columns(columns(), chosen)
    index.write(path)
    return index.skipped


def _as_documents(texts: "pa.Array", settings: CleanSettings) -> "pa.Array":
    """Texts of an evaluation set, rewritten and masked like the corpus, so that equal texts stay equal."""
    import pyarrow as pa

    column, _ = rewrite(texts.drop_null().cast(pa.large_string()), settings, defaultdict(set))
    return without_personal_data(column, settings)


def _contaminated(
    shards: Sequence[CleanedShard],
    first: "NDArray[np.int64]",
    priorities: "NDArray[np.uint8]",
    settings: ContaminationSettings,
    index: Path,
    processes: int,
) -> list[Contaminated]:
    """Documents that share too much with an index, by text and by target alone."""
    from tasks.clean.rules.near.contamination import Overlaps

    parts = [priorities[start:stop] for start, stop in pairwise(first.tolist())]
    documents: dict[Side, list[NDArray[np.int64]]] = {side: [np.empty(0, np.int64)] for side in SIDES}
    overlaps = {side: [Overlaps(np.empty(0, np.int64), np.empty(0))] for side in SIDES}
    work = partial(overlaps_of, index=index)
    results = parallel_map(work, zip(shards, parts, strict=True), processes, threads=True)
    for start, part, found in zip(first, parts, results, strict=False):
        rows = start + np.flatnonzero(_trained_on(part))
        gone = np.zeros(len(rows), np.bool_)
        for side, shared in zip(SIDES, found, strict=True):
            here = shared.contaminated(settings) & ~gone
            documents[side].append(rows[here])
            overlaps[side].append(Overlaps(shared.ngrams[here], shared.shares[here]))
            gone |= here
    return [
        Contaminated(
            np.concatenate(documents[side]),
            Overlaps(
                np.concatenate([part.ngrams for part in overlaps[side]]),
                np.concatenate([part.shares for part in overlaps[side]]),
            ),
            settings,
            side,
        )
        for side in SIDES
    ]


def overlaps_of(place: "tuple[CleanedShard, NDArray[np.uint8]]", index: Path) -> "tuple[Overlaps, Overlaps]":
    """The overlaps of a row group's training and validation documents with an index file, by text and by target.

    `place`: the row group, and the PRIORITY or GONE of its documents.
    """
    import pyarrow as pa

    from tasks.clean.rules.near.contamination import EvaluationIndex, overlaps

    shard, priorities = place
    documents = shard.read(*SIDES).filter(pa.array(_trained_on(priorities)))
    evaluated = EvaluationIndex.read(index)
    text, target = (overlaps(documents.column(side), evaluated) for side in SIDES)
    return text, target


def _trained_on(priorities: "NDArray[np.uint8]") -> "NDArray[np.bool_]":
    return (priorities == PRIORITY["train"]) | (priorities == PRIORITY["validation"])
