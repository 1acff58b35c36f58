"""Guards: did a further metric, or a slice of the documents, become worse by more than its tolerance?

Each guard and slice is a one-sided test that the loss exceeds the tolerance (`tasks.paired.jackknife`). With
Holm's method (Scandinavian Journal of Statistics 1979), a model that is not worse breaks any of them in at most 5 % of
all cases. A slice of one group asks about that group, so its documents are the units; elsewhere groups are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.compare.documents import Documents, require_same
from tasks.compare.settings import Guard
from tasks.compare.slices import slices
from tasks.compare.statistics import statistic
from tasks.compare.verdict import counted, noncentrality, shown
from tasks.formats.corpus import read_batches
from tasks.paired.jackknife import Estimate, estimate, influences, quantile
from tasks.paired.sums import Statistic
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.problems import nearest

ERROR = 0.05
"""Of all guards together."""

FEWEST = 10
"""Documents that a slice needs to be tested."""

OTHERS = "(others)"
"""The slices of fewer documents, together."""

WORST, NAMED = 5, 3
"""Documents that are kept for a broken guard, and those that its sentence names."""

Outcome = Literal["kept", "broken", "no evidence"]


@dataclass(frozen=True)
class Worse:
    """A document that pulls the new model down."""

    id: str
    new: float | None
    old: float | None
    """The metric of this document alone; None where it is undefined."""


@dataclass(frozen=True)
class GuardResult:
    """A guard on all documents, or on one slice."""

    metric: str
    by: str | None
    value: str | None
    """The slice."""
    tolerance: float
    outcome: Outcome
    why: str
    """For "no evidence": why it could not be tested."""
    documents: int
    groups: int
    named: bool = True
    """Whether the recipe names what is guarded; else it is one slice of many."""
    units: Literal["groups", "documents"] = "groups"
    """What was left out in turn."""
    new: float | None = None
    old: float | None = None
    gain: float | None = None
    """Positive: the new model is better."""
    low: float | None = None
    high: float | None = None
    """One-sided 95 % bounds of the gain: it is at least `low`, and at most `high`."""
    p: float | None = None
    """That the loss exceeds the tolerance, adjusted for all guards together."""
    detectable: float | None = None
    """The smallest loss that this test finds with 80 % power, if it is the only one."""
    worst: tuple[Worse, ...] = ()
    """Of a broken guard: the documents without which the new model would look best, worst first."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @property
    def stops(self) -> bool:
        """Whether it keeps a model from becoming champion: broken, or named by the recipe and without evidence."""
        return self.outcome == "broken" or (self.outcome == "no evidence" and self.named)

    @property
    def name(self) -> str:
        """`chrf`, `chrf of language fr`."""
        return self.metric if self.by is None else f"{self.metric} of {self.by} {self.value}"

    def sentence(self) -> str:
        """One sentence without a full stop at its end."""
        where = f"{counted(self.documents, 'document')} in {counted(self.groups, 'group')}"
        if self.outcome == "no evidence":
            return f"no evidence: {self.name}: {self.why}"
        assert self.new is not None and self.old is not None and self.gain is not None
        assert self.p is not None and self.detectable is not None
        change = f"better by {shown(self.gain)}" if self.gain >= 0 else f"worse by {shown(-self.gain)}"
        told = f"{self.outcome}: {self.name}: {shown(self.new)} against {shown(self.old)}, {change}"
        told += f" (tolerance {self.tolerance:g}, adjusted p {self.p:.3g}) on {where}"
        if self.units == "documents" and self.groups == 1:
            told += ", tested over the documents of its only group"
        if self.outcome == "kept":
            return f"{told}; a loss of {shown(self.detectable)} would have been found"
        named = ", ".join(f"{each.id} ({_score(each.new)} against {_score(each.old)})" for each in self.worst[:NAMED])
        return f"{told}; worst documents: {named}"


def check_guards(
    guards: Sequence[Guard],
    new: Documents,
    old: Documents,
    metric: str,
    settings: Mapping[str, Any],
    split: Path,
    recipe: Path,
) -> list[GuardResult]:
    """Test all guards; a result for each guard and slice, in the order of the guards and by slice.

    `metric`: the deciding one. `settings`: the section `evaluate`. `split`: `data/<recipe>/clean/test`, from which
    slices are read. `recipe`: its file, for messages.

    Raises RecipeError for a slice that no document is in, DataError if the split is not the one that was scored.
    """

    @cache
    def both(name: str) -> tuple[Statistic, Statistic] | str:
        try:
            require_same(new, old, name)
            return statistic(new, name, settings), statistic(old, name, settings)
        except DataError as error:
            return str(error)

    @cache
    def values(by: str) -> list[str]:
        return _slices(split, by, new)

    tested: list[tuple[GuardResult, Estimate | None, NDArray[np.int64]]] = []
    for number, guard in enumerate(guards):
        place = f"{recipe}: register.guards.{number}"
        named = guard.metric or metric
        for value, rows in _parts(guard, values, len(new), place):
            groups = [new.groups[row] for row in rows.tolist()]
            result = GuardResult(
                named,
                guard.by,
                value,
                guard.tolerance,
                "no evidence",
                "",
                len(rows),
                len(set(groups)),
                named=guard.by is None or guard.value is not None,
            )
            tested.append((*_tested(result, both(named), rows, groups), rows))
    adjusted = iter(holm([known.below(-result.tolerance) for result, known, _ in tested if known is not None]))
    found = []
    for result, known, rows in tested:
        if known is not None:
            result = replace(result, p=next(adjusted))
            result = replace(result, outcome="broken" if result.p <= ERROR else "kept")  # type: ignore[operator]
        if result.outcome == "broken":
            statistics = both(result.metric)
            assert not isinstance(statistics, str)
            ours, theirs = (each.take(rows) for each in statistics)
            result = replace(result, worst=_worst(ours, theirs, rows, new.ids))
        found.append(result)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values: each at most 0.05 is an error of at most 5 % for all together (Holm 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def _slices(split: Path, by: str, scored: Documents) -> list[str]:
    """The slice of each scored document. Raises DataError if the split has other documents."""
    ids = [name for batch in read_batches(split, ["id"]) for name in batch.column("id").to_pylist()]
    if ids != scored.ids:
        raise DataError(f"{split}: not the documents of {scored.path}; run the stage evaluate again")
    return slices(split, by)


def _parts(guard: Guard, values: Any, documents: int, place: str) -> list[tuple[str | None, NDArray[np.int64]]]:
    """The slices of a guard: name and rows. Slices of fewer than FEWEST documents are one, unless one is named."""
    if guard.by is None:
        return [(None, np.arange(documents))]
    of = np.array(values(guard.by), object)
    names = sorted(set(of.tolist()))
    if guard.value is not None:
        if guard.value not in names:
            raise RecipeError(
                f"{place}.value: no test document has the {guard.by} {guard.value!r}{nearest(guard.value, names)}"
            )
        return [(guard.value, np.flatnonzero(of == guard.value))]
    parts: list[tuple[str | None, NDArray[np.int64]]] = [(name, np.flatnonzero(of == name)) for name in names]
    small = [rows for _, rows in parts if len(rows) < FEWEST]
    if len(small) > 1:
        parts = [(name, rows) for name, rows in parts if len(rows) >= FEWEST]
        parts.append((OTHERS, np.sort(np.concatenate(small))))
    return parts


def _tested(
    result: GuardResult, statistics: tuple[Statistic, Statistic] | str, rows: NDArray[np.int64], groups: list[str]
) -> tuple[GuardResult, Estimate | None]:
    """The result without its outcome, and what the test stands on; None if there is no evidence."""
    if isinstance(statistics, str):
        return replace(result, why=statistics), None
    if len(rows) < FEWEST:
        told = f"{counted(len(rows), 'document')}, and a slice needs at least {FEWEST}"
        return replace(result, why=told), None
    ours, theirs = (each.take(rows) for each in statistics)
    if np.isnan(ours.total()) or np.isnan(theirs.total()):
        return replace(result, why=f"{result.metric} is undefined, for the documents have no text to score"), None
    single = result.groups == 1
    known = estimate(ours, theirs, None if single else groups)
    if known.units < 2:
        told = "all text to score is in a single " + ("document" if single else "group")
        return replace(result, why=told), None
    half = known.error * quantile(known.degrees, 0.95)
    return replace(
        result, units="documents" if single else "groups", new=known.new, old=known.old, gain=known.gain,
        low=known.gain - half, high=known.gain + half,
        detectable=result.tolerance + known.error * noncentrality(known.degrees, 0.95),
    ), known  # fmt: skip


def _worst(new: Statistic, old: Statistic, rows: NDArray[np.int64], ids: Sequence[str]) -> tuple[Worse, ...]:
    added, ours, theirs = influences(new, old), new.each(), old.each()
    places = np.argsort(added, kind="stable")[:WORST].tolist()
    return tuple(Worse(ids[rows[place]], _defined(ours[place]), _defined(theirs[place])) for place in places)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _score(value: float | None) -> str:
    return "undefined" if value is None else shown(value)
