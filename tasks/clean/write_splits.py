"""Pass 3: applies all verdicts and writes the splits, shard by shard in corpus order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.clean.cross_document import Apart, CrossDocument, with_verdicts
from tasks.clean.documents import REJECTED
from tasks.clean.rewrite import too_short_now
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard
from tasks.clean.splits import SPLITS, SplitSize, splits_of
from tasks.clean.verdict import Verdict
from tasks.formats.corpus import CorpusWriter, corpus_schema, text_bytes
from tasks.formats.drops import DropWriter
from tasks.stage.progress import progress
from tasks.stage.run import Drop
from tasks.workers.threads import in_threads

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Written:
    """What pass 3 wrote."""

    sizes: dict[str, SplitSize]
    """By split."""
    dropped: list[Drop]
    there: set[str]
    """Groups named in the settings that exist in the corpus."""
    parts: dict[str, dict[str, int]]
    """Mixtures: kept documents by source and split."""
    dropped_of: dict[str, Counter[str]]
    """Mixtures: dropped documents by source and reason."""


def write_splits(
    shards: Sequence[CleanedShard],
    cross_document: CrossDocument | Apart,
    settings: CleanSettings,
    out: Path,
    extra: Sequence[str] = (),
) -> Written:
    """Write the splits and `rejected.parquet` to a folder. A thread prepares the next shard during each write.

    `extra`: the columns of `tasks.formats.corpus.EXTRA` that the documents have.
    """
    own = {shard.part: settings.of(shard.part) for shard in shards}
    named = set[str]().union(*((*o.splits.validation_groups, *o.splits.test_groups) for o in own.values()))
    sizes = {name: SplitSize() for name in SPLITS}
    parts_of = {part: Counter[str]() for part in own if part is not None}
    dropped_of = {part: Counter[str]() for part in parts_of}
    there = set[str]()
    with ExitStack() as stack:
        writers = {name: stack.enter_context(CorpusWriter(out / name, corpus_schema(extra=extra))) for name in SPLITS}
        rejected = stack.enter_context(DropWriter(out / "rejected.parquet", corpus_schema(*REJECTED, extra=extra)))
        shown = stack.enter_context(progress("splits", sum(shard.documents for shard in shards), "documents"))
        work = partial(_dealt, shards, cross_document, own)
        for shard, parts in zip(shards, in_threads(work, range(len(shards)), 1), strict=True):
            rejected.write(parts.dropped)
            for name, size in sizes.items():
                writers[name].write(parts.staying[name])
                _count(parts.staying[name], size)
                size.dropped += parts.reasons[name]
                if shard.part is not None:
                    parts_of[shard.part][name] += parts.staying[name].num_rows
            if shard.part is not None:
                dropped_of[shard.part] += sum(parts.reasons.values(), Counter())
            for part in (*parts.staying.values(), parts.dropped):
                there |= named.intersection(part.column("group").unique().to_pylist())
            shown.advance(shard.documents)
    kept = {part: dict(counts) for part, counts in parts_of.items()}
    return Written(sizes, rejected.drops(), there, kept, dropped_of)


@dataclass(frozen=True)
class _Parts:
    """The documents of a shard, kept and dropped."""

    staying: dict[str, "pa.RecordBatch"]
    """By split."""
    dropped: "pa.RecordBatch"
    reasons: dict[str, Counter[str]]
    """Counts of drop reasons by the split the documents would have been in."""


def _dealt(
    shards: Sequence[CleanedShard],
    cross_document: CrossDocument | Apart,
    of_part: Mapping[str | None, CleanSettings],
    number: int,
) -> _Parts:
    """Apply all verdicts to a shard."""
    import pyarrow.compute as pc

    settings = of_part[shards[number].part]
    documents = with_verdicts(shards[number].read(), cross_document.about(number))
    if (staying := cross_document.staying_paragraphs) is not None:
        documents = _without_paragraphs(documents, shards[number], staying[number], settings)
    splits = splits_of(documents, settings.splits)
    stays = documents.column("reason").is_null()
    dropped = documents.filter(pc.invert(stays))
    of_dropped = splits.filter(pc.invert(stays))
    return _Parts(
        {name: documents.filter(pc.and_(stays, pc.equal(splits, name))) for name in SPLITS},
        dropped,
        {name: Counter(dropped.column("reason").filter(pc.equal(of_dropped, name)).to_pylist()) for name in SPLITS},
    )


def _without_paragraphs(
    documents: "pa.RecordBatch", shard: CleanedShard, staying: "NDArray[np.bool_]", settings: CleanSettings
) -> "pa.RecordBatch":
    """Remove repeated paragraphs; documents too short without them are dropped with their full text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from tasks.clean.rules.near.paragraphs import read_paragraphs, without

    stays, whole = documents.column("reason").is_null(), documents.column("text")
    cut = without(
        pc.if_else(shard.read("reason").column(0).is_null(), whole, None), read_paragraphs(shard.paragraphs), staying
    )
    changed = pc.and_(stays, pc.less(pc.binary_length(cut), pc.binary_length(whole)))
    verdicts = {
        row: Verdict("duplicate_paragraphs", f"{found.reason}: {found.value}", found.threshold)
        for row, found in too_short_now(cut, changed, settings, settings).items()
    }
    kept = pc.if_else(changed, cut, whole)
    too_short = pa.array([row in verdicts for row in range(len(kept))], pa.bool_())
    kept = pc.if_else(too_short, whole, kept)
    place = documents.schema.get_field_index("text")
    return with_verdicts(documents.set_column(place, documents.schema.field(place), kept), verdicts)


def _count(documents: "pa.RecordBatch", size: SplitSize) -> None:
    size.documents += documents.num_rows
    size.bytes += int(text_bytes(documents).sum())
    size.groups.add(documents.column("group").unique().to_pylist())
    size.labels.update(documents.column("label").drop_null().to_pylist())
