"""Documents that came, went and changed between two records, by stage, and those that moved between splits."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.changes.manifest import MOST, STAGES, Manifest
from tasks.changes.record import Record
from tasks.changes.texts import find_texts, shorten

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 5
"""Documents that are named of each kind."""
Row = dict[str, Any]
"""A document of a list: id, hash."""
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """A document, and the beginning of its text before and after; None where the text is not at hand."""

    id: str
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True)
class Group:
    """So many documents, some of them as examples."""

    documents: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class StageDocuments:
    """The documents of one stage in both records."""

    stage: str
    old: int | None
    """Number of documents; None if it is not recorded."""
    new: int | None
    same: int | None = None
    """Documents with the same id and content; None, like all below, if a list is missing."""
    came: Group | None = None
    went: Group | None = None
    changed: Group | None = None
    """The same id, another content."""
    renamed: int = 0
    """Of those that came: documents whose content went under another id."""
    note: str = ""
    """Why there is no comparison."""


@dataclass(frozen=True)
class Move:
    """Documents, by content, that are in another split now."""

    old: str
    new: str
    documents: int
    examples: tuple[str, ...]
    """Their new ids."""


def find_documents(old: Record, new: Record) -> tuple[tuple[StageDocuments, ...], tuple[Move, ...]]:
    """Per stage, what differs; and the moves between splits. Reads at most 2 million ids of a stage and side."""
    lists = {stage: (old.documents(stage), new.documents(stage)) for stage in STAGES}
    stages = tuple(_compare(old, new, stage, *pair) for stage, pair in lists.items())
    return stages, _moves(lists)


def _compare(old: Record, new: Record, stage: str, before: Manifest | None, after: Manifest | None) -> StageDocuments:
    found = StageDocuments(stage, before.documents if before else None, after.documents if after else None)
    if before is None or after is None:
        missing = [record.name for record, each in ((old, before), (new, after)) if each is None]
        return replace(found, note=f"not recorded for {' and '.join(missing)}")
    if before.table is None or after.table is None:
        return replace(found, note=f"more than {MOST:,} documents: only their number is recorded")
    import polars as pl

    first, second = (each.unique("id", keep="first", maintain_order=True) for each in (before.table, after.table))
    both = first.join(second, on="id", how="inner", suffix="_new", maintain_order="right")
    changed = both.filter(pl.col("hash") != pl.col("hash_new"))
    came = second.join(first, on="id", how="anti", maintain_order="left")
    went = first.join(second, on="id", how="anti", maintain_order="left")
    some_came, some_went, some_changed = map(_some, (came, went, changed))
    places = [shards for record in (new, old) if (shards := record.corpora.get(stage))]
    texts_old = find_texts(places, {row["id"]: row["hash"] for row in (*some_went, *some_changed)})
    texts_new = find_texts(places, {row["id"]: row.get("hash_new", row["hash"]) for row in (*some_came, *some_changed)})

    def group(documents: int, rows: list[Row]) -> Group:
        ids = [str(row["id"]) for row in rows]
        return Group(
            documents, tuple(Example(name, *shorten(texts_old.get(name), texts_new.get(name))) for name in ids)
        )

    return replace(
        found,
        same=both.height - changed.height,
        came=group(came.height, some_came),
        went=group(went.height, some_went),
        changed=group(changed.height, some_changed),
        renamed=came.join(went, on="hash", how="semi").height,
    )


def _some(table: "pl.DataFrame") -> list[Row]:
    """Evenly spaced rows."""
    total = table.height
    chosen = [number * total // EXAMPLES for number in range(EXAMPLES)] if total > EXAMPLES else list(range(total))
    return table[chosen].to_dicts() if chosen else []


def _moves(lists: dict[str, tuple[Manifest | None, Manifest | None]]) -> tuple[Move, ...]:
    found = []
    for source in SPLITS:
        for target in SPLITS:
            before, after = lists[source][0], lists[target][1]
            if source == target or before is None or after is None or before.table is None or after.table is None:
                continue
            moved = after.table.join(before.table, on="hash", how="semi", maintain_order="left")
            if moved.height:
                examples = tuple(str(row["id"]) for row in _some(moved))
                found.append(Move(source, target, moved.height, examples))
    return tuple(found)
