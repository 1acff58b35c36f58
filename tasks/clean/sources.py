"""Whether the sources of a mixture survive cleaning, and keep a group in one split."""

from collections.abc import Sequence

from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard
from tasks.clean.splits import SPLITS, Groups, splits_of
from tasks.clean.write_splits import Written
from tasks.stage.errors import DataError
from tasks.stage.settings import recipe_path


def section_of(settings: CleanSettings, part: str | None) -> str:
    """The section of the recipe that decides the splits of a source."""
    return f"clean.sources.{part}" if "splits" in settings.sources.get(part or "", {}) else "clean"


def check_sources(written: Written, shards: Sequence[CleanedShard], settings: CleanSettings, recipe: str) -> None:
    """Raises DataError for a source whose documents were all dropped, and for a group that stands in two splits, which
    sources with different splits can cause."""
    for part, kept in written.parts.items():
        if not any(kept.values()):
            dropped = written.dropped_of[part]
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.most_common())
            raise DataError(
                f"{recipe_path(recipe)}: clean: all {dropped.total():,} documents of the source {part} were dropped "
                f"({reasons}); change the rules under clean or clean.sources.{part}, or remove the source"
            )
    groups = [written.sizes[name].groups for name in SPLITS]
    pairs = ((one, other) for number, one in enumerate(groups) for other in groups[:number])
    if written.parts and (torn := set[bytes]().union(*(one.shared(other) for one, other in pairs))):
        raise DataError(f"{recipe_path(recipe)}: {_torn(torn, shards, settings)}")


def _torn(torn: set[bytes], shards: Sequence[CleanedShard], settings: CleanSettings) -> str:
    """The first of these groups in the corpus, with its sources and splits, and the way out."""
    places: dict[str, dict[str, str]] = {}
    for shard in shards:
        documents = shard.read("group", "reason", "split")
        documents = documents.filter(documents.column("reason").is_null())
        splits = splits_of(documents, settings.of(shard.part).splits).to_pylist()
        for group, split in zip(documents.column("group").to_pylist(), splits, strict=True):
            if Groups.among(group, torn):
                places.setdefault(group, {}).setdefault(str(shard.part), split)
    group, found = next(iter(places.items()))
    told = " and ".join(f"{split} by {part}" for part, split in found.items())
    section = next((section for part in found if (section := section_of(settings, part)) != "clean"), "clean")
    more = f"; {len(torn) - 1:,} more are torn apart" if len(torn) > 1 else ""
    return (
        f"{section}.splits: the group {group!r} is in {told}{more}; give these sources the same splits and no `split`, "
        "or another documents.group_column if their groups only share names"
    )
