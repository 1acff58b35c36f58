"""Tables of a profile as lists of cells, for the terminal and the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.profile.measure import PERCENTILES, Profile
from tasks.profile.pictures import name_sides, top


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: tuple[str, ...] = ()
    """Numeric columns."""


def tables(profile: Profile) -> list[Table]:
    """All tables that are not empty."""
    found = [
        _sizes(profile),
        _epochs(profile),
        _funnel(profile),
        _dropped(profile),
        _lengths(profile),
        _languages(profile),
    ]
    found += [_labels(profile), _changes(profile), _longest(profile)]
    return [table for table in found if table.rows]


def _sizes(profile: Profile) -> Table:
    sides, named = tuple(profile.whole.sides), name_sides(profile.whole).values()
    rows = [
        (name, f"{part.documents:,}", f"{part.bytes:,}", *(f"{part.words(side):,}" for side in sides))
        for name, part in {**profile.splits, "all": profile.whole}.items()
    ]
    before = (f"{profile.received[what]:,}" for what in ("documents", "bytes"))
    columns = (
        "split",
        "documents",
        "bytes",
        *(f"words of the {name if profile.whole.turns else f'{name}s'}" for name in named),
    )
    return Table("Size", columns, [*rows, ("before cleaning", *before, *[""] * len(sides))], columns[1:])


def _epochs(profile: Profile) -> Table:
    rows = [(name, f"{tokens:,}", f"{epochs:.3g}") for name, (tokens, epochs) in profile.epochs.items()]
    columns = ("source", "training tokens", "epochs")
    return Table("How often train.steps read the training split, at most", columns, rows, columns[1:])


def _funnel(profile: Profile) -> Table:
    first = profile.details["funnel"][0]
    rows = [
        (
            step["rules"],
            f"{step['documents']:,}",
            share(step["documents"], first["documents"]),
            f"{step['bytes']:,}",
            share(step["bytes"], first["bytes"]),
        )
        for step in profile.details["funnel"]
    ]
    columns = ("left after", "documents", "of all", "bytes", "of all bytes")
    return Table("What is left after each group of rules", columns, rows, columns[1:])


def _dropped(profile: Profile) -> Table:
    rows = [
        (
            drop.reason,
            f"{drop.documents:,}",
            share(drop.documents, profile.received["documents"]),
            f"{drop.bytes:,}",
            drop.examples[0] if drop.examples else "",
        )
        for drop in profile.dropped
    ]
    return Table("Why documents were dropped", ("reason", "documents", "of all", "bytes", "for example"), rows,
                 ("documents", "of all", "bytes"))  # fmt: skip


def _lengths(profile: Profile) -> Table:
    whole, sides = profile.whole, name_sides(profile.whole)
    rows = [
        (f"{unit} of {'the' if whole.turns else 'a'} {sides[side]}", *(f"{value:,}" for value in its.percentiles(unit)))
        for side, its in whole.sides.items()
        for unit in ("words", "characters")
    ]
    rows += [("turns of a conversation", *(f"{value:,}" for value in whole.turn_percentiles()))] if whole.turns else []
    names = {0: "shortest", 50: "median", 100: "longest"}
    columns = tuple(names.get(rank, f"{rank} %") for rank in PERCENTILES)
    return Table("Lengths: so many are not longer", ("", *columns), rows, columns)


def _languages(profile: Profile) -> Table:
    whole, names = profile.whole, name_sides(profile.whole)
    rows = [
        (names[side], code, f"{count:,}", share(count, whole.documents))
        for side, its in whole.sides.items()
        for code, count in top(its.languages)
    ]
    return Table("Languages, as far as a model can tell", ("of the", "language", "documents", "of all"), rows,
                 ("documents", "of all"))  # fmt: skip


def _labels(profile: Profile) -> Table:
    whole = profile.whole.labels
    rows = [
        (label, f"{count:,}", *(f"{part.labels[label]:,}" for part in profile.splits.values()))
        for label, count in sorted(whole.items(), key=lambda one: (-one[1], one[0]))
    ]
    return Table("Classes", ("label", "documents", *profile.splits), rows, ("documents", *profile.splits))


def _changes(profile: Profile) -> Table:
    told = {"rewritten": "documents rewritten", "lines_dropped": "lines dropped", "personal_data": "personal data"}
    rows = [(what, kind, f"{count:,}") for key, what in told.items() for kind, count in profile.details[key].items()]
    return Table("What was changed inside documents", ("what", "kind", "count"), rows, ("count",))


def _longest(profile: Profile) -> Table:
    rows = [(name, f"{characters:,}") for characters, name in profile.whole.longest]
    return Table("Longest documents", ("id", "characters"), rows, ("characters",))


def share(part: int, whole: int) -> str:
    """`part` as a percentage of `whole`."""
    return f"{part / whole:.1%}" if whole else ""
