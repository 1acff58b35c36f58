"""Cleans a corpus in three passes: row groups on their own, documents against each other, splits written.

shard.py            pass 1: rewrite and filter single documents in parallel; results kept in `scratch/clean`
cross_document.py   pass 2: find duplicates and contamination
write_splits.py     pass 3: carry out the verdicts, write the splits
"""

from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from threading import Thread

from tasks.clean.cross_document import find
from tasks.clean.documents import Noted, without_personal_data
from tasks.clean.funnel import Step, draw_funnel, funnel
from tasks.clean.labels import check_labels, documents_by_label, rare_labels
from tasks.clean.rules.language.identify import require_languages
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard, cleaned
from tasks.clean.sources import check_sources, section_of
from tasks.clean.splits import SplitSize, check_splits
from tasks.clean.text import require_library
from tasks.clean.write_splits import Written, write_splits
from tasks.formats.corpus import count_documents, count_parts, extra_columns, row_groups
from tasks.formats.mixture import require_sources
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.progress import progress
from tasks.stage.run import Drop, Job, Report
from tasks.stage.settings import read_section, recipe_path
from tasks.workers.parallel_map import processes_worth


def clean(job: Job) -> Report:
    """The work of the stage. Raises GristmillError if nothing, or too little for a split, is left."""
    settings = read_section(job.recipe, "clean", CleanSettings)
    extra = extra_columns(job.input("valid"))
    if "messages" in extra and (unfit := [f"{recipe_path(job.recipe)}: clean.{one}"
                                          for one in settings.not_for_conversations()]):  # fmt: skip
        raise RecipeError("\n".join(unfit))
    require_library(settings)
    parts = count_parts(job.input("valid"))
    require_sources(settings.sources, parts, f"{recipe_path(job.recipe)}: clean.sources")
    own = [settings.of(part) for part in parts] or [settings]
    for some in own:
        require_languages(some.languages, job.recipe)
    _require_evaluation_files(settings, job.recipe)
    places = row_groups(job.input("valid"))
    processes = processes_worth(sum(size for *_, size in places), len(places))
    shards = clean_shards(job, settings, [place[:2] for place in places], processes)
    out = job.output("clean")
    out.mkdir()
    cross_document = find(shards, settings, job.partial, processes)
    Thread(target=import_module, args=("matplotlib.figure",)).start()  # takes a second, in parallel with writing
    written = write_splits(shards, cross_document, settings, out, extra)
    documents = sum(shard.documents for shard in shards)
    if not any(size.documents for size in written.sizes.values()):
        raise DataError(_nothing_left(job, documents, written.dropped))
    check_sources(written, shards, settings, job.recipe)
    sections = {section_of(settings, part): settings.of(part).splits for part in parts or [None]}
    check_splits(written.sizes, written.there, sections, job.recipe)
    by_label = documents_by_label({name: size.labels for name, size in written.sizes.items()})
    check_labels(by_label, job.recipe)
    _keep_only(shards)
    received = sum(shard.bytes_received for shard in shards)
    kept = sum(size.bytes for size in written.sizes.values())
    noted = sum((shard.noted for shard in shards), Noted())
    steps = funnel(documents, received, noted.bytes, kept, written.dropped)
    draw_funnel(out / "funnel.png", steps, job.recipe)
    return _report(noted, written, by_label, steps, cross_document.facts, settings)


def _require_evaluation_files(settings: CleanSettings, recipe: str) -> None:
    """Raises RecipeError before any work if a file is missing."""
    for path in settings.contamination.files if settings.contamination is not None else ():
        if not Path(path).exists():
            raise RecipeError(f"{recipe_path(recipe)}: clean.contamination.files: {path}: not found")


def clean_shards(
    job: Job, settings: CleanSettings, places: Sequence[tuple[Path, int]], processes: int
) -> list[CleanedShard]:
    """Run pass 1 on these row groups, in order; results of earlier runs are reused."""
    valid, scratch = job.input("valid"), job.folder / "scratch" / "clean"
    scratch.mkdir(parents=True, exist_ok=True)
    least = settings.min_documents_per_label
    rare = {} if least is None else rare_labels(valid, least, job.recipe)
    shards = []
    with progress("clean", count_documents(valid), "documents") as shown:
        for shard in cleaned(places, settings, rare, scratch, processes):
            shards.append(shard)
            shown.advance(shard.documents)
    return shards


def _keep_only(shards: Sequence[CleanedShard]) -> None:
    """Delete results of other corpora and settings."""
    (folder,) = {shard.path.parent for shard in shards}
    kept = {path for shard in shards for path in (shard.path, shard.sketch, shard.paragraphs)}
    for path in set(folder.iterdir()) - kept:
        path.unlink()


def _nothing_left(job: Job, documents: int, dropped: list[Drop]) -> str:
    if not documents:
        return f"{job.folder / 'valid'}: it has no documents"
    reasons = ", ".join(f"{drop.reason} {drop.documents}" for drop in dropped)
    return f"{recipe_path(job.recipe)}: clean: all {documents} documents were dropped ({reasons})"


def _report(
    noted: Noted,
    written: Written,
    labels: dict[str, dict[str, int]],
    steps: Sequence[Step],
    facts: dict[str, object],
    settings: CleanSettings,
) -> Report:
    total = sum(size.bytes for size in written.sizes.values())
    return Report(
        received={"documents": steps[0].documents, "bytes": steps[0].bytes},
        produced={name: size.documents for name, size in written.sizes.items()},
        dropped=written.dropped,
        details={
            "funnel": [asdict(step) for step in steps],
            "rewritten": dict(sorted(noted.rewritten.items())),
            "lines_dropped": dict(sorted(noted.lines.items())),
            "personal_data": dict(sorted(noted.personal.items())),
            "splits": {name: _split(size, total, settings) for name, size in written.sizes.items()},
            **({"sources": written.parts} if written.parts else {}),
            **facts,
        }
        | ({"labels": labels} if labels else {}),
    )


def _split(size: SplitSize, total: int, settings: CleanSettings) -> dict[str, object]:
    import pyarrow as pa

    names = without_personal_data(pa.array(size.groups.first, pa.large_string()), settings).to_pylist()
    return {
        "documents": size.documents,
        "bytes": size.bytes,
        "share_of_bytes": round(size.bytes / total, 6),
        "groups": len(size.groups),
        "group_names": names,
    }
