"""Pass 2: compares documents with each other, from the files that pass 1 left for each row group.

Documents are numbered through the corpus. Shared text stays in the test split, else in the validation split, so a model
is never scored on text it was trained on. The rules run in order, each on the documents kept so far: exact duplicates,
near-duplicates, contamination, repeated paragraphs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.clean.documents import REJECTED, without_personal_data
from tasks.clean.exact import GONE, PRIORITY, exact_duplicates
from tasks.clean.rewrite import rewrite
from tasks.clean.rules.near.settings import ContaminationSettings
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard
from tasks.clean.splits import splits_of
from tasks.clean.verdict import SIDES, Side, Verdict, of_side
from tasks.stage.runtime import engine
from tasks.workers.parallel_map import parallel_map

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tasks.clean.rules.near.duplicates import NearDuplicates


Place = tuple[CleanedShard, "NDArray[np.uint8]", int]
"""A row group, the PRIORITY or GONE of its documents, and the number of the first of them."""
Name = Callable[[int], str]
"""The id of a kept document, by its number."""


@dataclass(frozen=True)
class Found:
    """The documents dropped by one rule."""

    documents: "NDArray[np.int64]"
    """In ascending order [found]."""
    keepers: "NDArray[np.int64]"
    """Documents named by id in the verdicts [found], or empty."""
    verdict: Callable[[int, Name], Verdict]
    """The verdict on the document at a place."""


def _duplicates(documents: "NDArray[np.int64]", keepers: "NDArray[np.int64]") -> Found:
    """Documents dropped as exact duplicates of a kept one."""

    def verdict(place: int, name: Name) -> Verdict:
        return Verdict("duplicate", f"same as {name(int(keepers[place]))}", None)

    return Found(documents, keepers, verdict)


def _near_duplicates(documents: "NDArray[np.int64]", kept: "NearDuplicates", threshold: float) -> Found:
    """Documents dropped as near-duplicates of a kept one, perhaps near only to other members of its cluster."""
    keepers, similarities = kept.keepers[documents].astype(np.int64), kept.similarities[documents]

    def verdict(place: int, name: Name) -> Verdict:
        through = ", through others" if similarities[place] < np.float32(threshold) else ""
        value = f"{similarities[place]:.3f} with {name(int(keepers[place]))}{through}"
        return Verdict("near_duplicate", value, f"{threshold:g}")

    return Found(documents, keepers, verdict)


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


class Apart:
    """The verdicts of the rules about each source of a mixture by itself; see CrossDocument."""

    def __init__(self, runs: Sequence[tuple[str | None, int, CrossDocument]]) -> None:
        self._places = [(found, row_group) for _, count, found in runs for row_group in range(count)]
        self.facts: dict[str, object] = {str(part): found.facts for part, _, found in runs if found.facts}
        paragraphs = [found.staying_paragraphs for _, _, found in runs]
        self.staying_paragraphs = None if None in paragraphs else [one for some in paragraphs for one in some or ()]

    def about(self, number: int) -> dict[int, Verdict]:
        """See `CrossDocument.about`."""
        found, row_group = self._places[number]
        return found.about(row_group)


def find(
    shards: Sequence[CleanedShard], settings: CleanSettings, scratch: Path, processes: int
) -> CrossDocument | Apart:
    """`find_in` the whole corpus, or in each source of a mixture by itself."""
    if settings.across_sources:
        return find_in(shards, settings, scratch, processes)
    runs = [(part, list(run)) for part, run in groupby(shards, key=lambda shard: shard.part)]
    return Apart([(part, len(run), find_in(run, settings, scratch, processes)) for part, run in runs])


def find_in(shards: Sequence[CleanedShard], settings: CleanSettings, scratch: Path, processes: int) -> CrossDocument:
    """Apply the rules about the whole corpus. Memory: some 60 bytes per document, plus what each rule states, plus the
    ids of kept duplicates.

    `scratch`: a folder for files that the worker processes share.
    """
    first = np.cumsum([0, *(shard.documents for shard in shards)])
    priorities = _priorities(shards, settings)
    found: list[Found] = []
    facts: dict[str, object] = {}
    if settings.exact_duplicates == "drop":
        found.append(_duplicates(*exact_duplicates(_digests(shards), priorities, priorities != GONE)))
        priorities[found[-1].documents] = GONE
    if (near := settings.near_duplicates) is not None:
        from tasks.clean.rules.near.duplicates import near_duplicates

        shared = None if engine()[0] == "processes" else scratch / "documents.npy"
        kept = near_duplicates([shard.sketch for shard in shards], near, priorities, shared=shared)
        gone = np.flatnonzero(~kept.staying() & (priorities != GONE))
        found.append(_near_duplicates(gone, kept, near.threshold))
        priorities[gone] = GONE
        facts["near_duplicate_bytes_per_document"] = round(kept.stored / max(len(priorities), 1), 1)
    if settings.contamination is not None:
        index = scratch / "evaluation.index"
        spans = zip(shards, pairwise(first.tolist()), strict=True)
        places = [(shard, priorities[start:stop], start) for shard, (start, stop) in spans]
        sides = settings.contamination.sides or (("text",) if _are_conversations(shards) else SIDES)
        facts |= _index_evaluation_texts(places, settings, index, sides)
        for some in _contaminated(places, settings.contamination, index, processes, sides):
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
        batch = shard.read("group", "reason", *(() if shard.part is None else ("split",)))
        splits = splits_of(batch, settings.of(shard.part).splits).dictionary_encode()
        named = [PRIORITY[split] for split in splits.dictionary.to_pylist()]
        of_document = np.array(named, np.uint8)[splits.indices.to_numpy()]
        parts.append(np.where(batch.column("reason").is_null().to_numpy(False), of_document, np.uint8(GONE)))
    return np.concatenate(parts)


def _digests(shards: Sequence[CleanedShard]) -> "NDArray[np.uint64]":
    """The digest of every text [documents, 2]."""
    columns = [shard.read("digest").column(0) for shard in shards if shard.documents]
    parts = [np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, 2) for column in columns]
    return np.concatenate([np.empty((0, 2), np.uint64), *parts])


def _are_conversations(shards: Sequence[CleanedShard]) -> bool:
    return any("messages" in shard.names for shard in shards[:1])


def _index_evaluation_texts(
    places: Sequence[Place], settings: CleanSettings, path: Path, sides: Sequence[Side]
) -> dict[str, object]:
    """Write the n-grams of the kept test documents and of the listed files, which are cleaned like the corpus, without
    boilerplate.

    Returns for the report the number of texts too short to search for, and the boilerplate.
    """
    import pyarrow as pa

    from tasks.clean.rules.near.boilerplate import without_boilerplate
    from tasks.clean.rules.near.contamination import EvaluationIndex
    from tasks.clean.rules.near.evaluation_files import texts_in

    chosen = settings.contamination
    assert chosen is not None

    def columns() -> "Iterator[pa.Array]":
        for shard, priorities, _ in places:
            if (tested := priorities == PRIORITY["test"]).any():
                for column in shard.read(*sides).columns:
                    yield column.filter(pa.array(tested)).drop_null()
        for file in chosen.files:
            for texts in texts_in(Path(file)):
                yield _as_documents(texts, settings)

    index = EvaluationIndex.of_columns(columns(), chosen)
    facts: dict[str, object] = {"evaluation_texts_too_short": index.skipped}
    if chosen.boilerplate is not None:
        index, boilerplate = without_boilerplate(index, columns(), partial(_sample, places, sides), chosen.boilerplate)
        facts |= {"boilerplate": boilerplate} if boilerplate else {}
    index.write(path)
    return facts


def _sample(places: Sequence[Place], sides: Sequence[Side]) -> "Iterator[pa.RecordBatch]":
    """At most SAMPLED kept documents, evenly spaced."""
    import pyarrow as pa

    from tasks.clean.rules.near.boilerplate import SAMPLED

    kept = [np.flatnonzero(priorities != GONE) for _, priorities, _ in places]
    step, begin = -(-sum(map(len, kept)) // SAMPLED) or 1, 0
    for (shard, _, _), rows in zip(places, kept, strict=True):
        chosen = rows[-begin % step :: step]
        begin += len(rows)
        if len(chosen):
            yield shard.read(*sides).take(pa.array(chosen))


def _as_documents(texts: "pa.Array", settings: CleanSettings) -> "pa.Array":
    """Texts of an evaluation set, rewritten and masked like the corpus, so that equal texts stay equal."""
    import pyarrow as pa

    column, _ = rewrite(texts.drop_null().cast(pa.large_string()), settings, defaultdict(set))
    return without_personal_data(column, settings)


def _contaminated(
    places: Sequence[Place], settings: ContaminationSettings, index: Path, processes: int, sides: Sequence[Side]
) -> Iterator[Found]:
    """Documents that share too much with an index, by each side alone."""
    from tasks.clean.rules.near.contamination import Overlaps

    work = partial(contaminated_in, settings=settings, index=index, sides=sides)
    results = list(parallel_map(work, places, processes, threads=True))
    nobody = np.empty(0, np.int64)
    for side in sides:
        columns = zip((nobody, nobody, np.empty(0)), *(found[side] for found in results), strict=True)
        documents, *overlaps = map(np.concatenate, columns)
        shared = Overlaps(*overlaps)

        def verdict(place: int, name: Name, side: Side = side, shared: Overlaps = shared) -> Verdict:
            return of_side(side, shared.verdict(place, settings))

        yield Found(documents, nobody, verdict)


def contaminated_in(
    place: Place, settings: ContaminationSettings, index: Path, sides: Sequence[Side] = SIDES
) -> "dict[Side, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]":
    """Training and validation documents of a row group that share too much with an index file, and their overlaps.

    A document that does so by its text is not listed by its target.
    """
    import pyarrow as pa

    from tasks.clean.rules.near.contamination import EvaluationIndex, overlaps

    shard, priorities, first = place
    left = (priorities == PRIORITY["train"]) | (priorities == PRIORITY["validation"])
    documents, evaluated = shard.read(*sides), EvaluationIndex.read(index)
    found = {}
    for side in sides:
        shared = overlaps(documents.column(side).filter(pa.array(left)), evaluated)
        here = shared.contaminated(settings)
        rows = np.flatnonzero(left)[here]
        found[side] = first + rows, shared.ngrams[here], shared.shares[here]
        left[rows] = False
    return found
