"""Cleaning a corpus: batches are cleaned side by side, and merged one after the other in corpus order."""

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tasks.clean.duplicates import FirstSeen
from tasks.clean.labels import check_labels, count_labels, documents_by_label
from tasks.clean.rules.language import require_languages
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import REJECTED, CleanedBatch, cleaned
from tasks.clean.splits import SPLITS, SplitSize, check_splits, split_of
from tasks.contract.corpus import CorpusWriter, corpus_schema, count_documents, row_groups, text_bytes
from tasks.contract.drops import DropWriter
from tasks.contract.errors import DataError
from tasks.contract.progress import progress
from tasks.contract.runtime import workers
from tasks.contract.settings import read_section, recipe_path
from tasks.contract.stage import Drop, Job, Report

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS_NAMED = 50
"""Groups of a split that the report names; it counts them all."""


def clean(job: Job) -> Report:
    """The work of the stage. Raises GristmillError where nothing, or too little for a split, is left."""
    settings = read_section(job.recipe, "clean", CleanSettings)
    valid, out = job.input("valid"), job.output("clean")
    places = row_groups(valid)
    size = sum(size for *_, size in places)
    first_seen, there = FirstSeen(), set[str]()
    named = {*settings.splits.validation_groups, *settings.splits.test_groups}
    sizes = {name: SplitSize() for name in SPLITS}
    rewritten: Counter[str] = Counter()
    received = Counter(documents=0, bytes=0)
    labels = count_labels(valid, job.recipe) if settings.min_documents_per_label is not None else {}
    require_languages(settings.languages, job.recipe)
    with ExitStack() as stack:
        writers = {name: stack.enter_context(CorpusWriter(out / name, corpus_schema())) for name in SPLITS}
        rejected = stack.enter_context(DropWriter(out / "rejected.parquet", corpus_schema(*REJECTED)))
        shown = stack.enter_context(progress("clean", count_documents(valid), "documents"))
        for batch in cleaned([(path, group) for path, group, _ in places], size, settings, labels, workers()):
            received.update(documents=batch.documents.num_rows, bytes=batch.bytes_received)
            rewritten += batch.rewritten
            there |= named.intersection(batch.documents.column("group").unique().to_pylist())
            documents = batch.documents
            if settings.exact_duplicates == "drop":
                documents = _mark_duplicates(batch, first_seen)
            rejected.write(documents.filter(documents.column("reason").is_valid()))
            _deal(documents.filter(documents.column("reason").is_null()), settings, writers, sizes)
            shown.advance(batch.documents.num_rows)
    dropped = rejected.drops()
    if not any(size.documents for size in sizes.values()):
        raise DataError(_nothing_left(job, received["documents"], dropped))
    check_splits(sizes, there, settings.splits, job.recipe)
    by_label = documents_by_label({name: size.labels for name, size in sizes.items()})
    check_labels(by_label, job.recipe)
    return _report(received, rewritten, sizes, dropped, by_label)


def _mark_duplicates(batch: CleanedBatch, first_seen: FirstSeen) -> "pa.RecordBatch":
    import pyarrow as pa

    documents = batch.documents
    staying = documents.column("reason").is_null().to_pylist()
    duplicates = first_seen.duplicates(batch.digests, staying)
    if not any(duplicates):
        return documents
    reasons = documents.column("reason").to_pylist()
    values = documents.column("value").to_pylist()
    for row, duplicate in enumerate(duplicates):
        if duplicate:
            reasons[row], values[row] = "duplicate", f"blake2b {batch.digests[row].hex()}"
    for name, column in (("reason", reasons), ("value", values)):
        index = documents.schema.get_field_index(name)
        documents = documents.set_column(index, documents.schema.field(index), pa.array(column, pa.large_string()))
    return documents


def _deal(
    documents: "pa.RecordBatch", settings: CleanSettings, writers: dict[str, CorpusWriter], sizes: dict[str, SplitSize]
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = documents.column("group").to_pylist()
    split_by_group = {group: split_of(group, settings.splits) for group in dict.fromkeys(groups)}
    splits = pa.array([split_by_group[group] for group in groups], pa.string())
    for name in SPLITS:
        part = documents.filter(pc.equal(splits, name))
        writers[name].write(part)
        sizes[name].documents += part.num_rows
        sizes[name].bytes += int(text_bytes(part).sum())
        sizes[name].groups.update(group for group, split in split_by_group.items() if split == name)
        sizes[name].labels.update(part.column("label").drop_null().to_pylist())


def _nothing_left(job: Job, documents: int, dropped: list[Drop]) -> str:
    if not documents:
        return f"{job.folder / 'valid'}: no document in it"
    reasons = ", ".join(f"{drop.reason} {drop.documents}" for drop in dropped)
    return f"{recipe_path(job.recipe)}: clean: all {documents} documents were dropped ({reasons})"


def _report(
    received: Counter[str],
    rewritten: Counter[str],
    sizes: dict[str, SplitSize],
    dropped: list[Drop],
    labels: dict[str, dict[str, int]],
) -> Report:
    total = sum(size.bytes for size in sizes.values())
    splits = {
        name: {
            "documents": size.documents,
            "bytes": size.bytes,
            "share_of_bytes": round(size.bytes / total, 6),
            "groups": len(size.groups),
            "group_names": sorted(size.groups)[:GROUPS_NAMED],
        }
        for name, size in sizes.items()
    }
    return Report(
        received=dict(received),
        produced={name: size.documents for name, size in sizes.items()},
        dropped=dropped,
        details={"rewritten": dict(sorted(rewritten.items())), "splits": splits}
        | ({"labels": labels} if labels else {}),
    )
