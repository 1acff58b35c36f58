"""All differences between two records, as one frozen structure."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.changes.code import Code, find_code
from tasks.changes.curves import Curve, read_curve
from tasks.changes.documents import Move, StageDocuments, find_documents
from tasks.changes.record import REPORT, Record
from tasks.changes.scores import Scores, find_scores
from tasks.changes.settings import Setting, find_settings
from tasks.stage.errors import DataError, GristmillError

if TYPE_CHECKING:
    from tasks.compare.verdict import Noise

Part = TypeVar("Part")


@dataclass(frozen=True)
class Side:
    """Which model this is."""

    name: str
    recipe: str
    run_id: str | None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What differs from the old model to the new one."""

    old: Side
    new: Side
    task: str
    same: bool
    """Whether both are one run, so that there is nothing to compare."""
    settings: tuple[Setting, ...] = ()
    documents: tuple[StageDocuments, ...] = ()
    moves: tuple[Move, ...] = ()
    code: Code | None = None
    scores: Scores | None = None
    curves: tuple[Curve | None, Curve | None] = (None, None)
    notes: tuple[str, ...] = ()
    """What is not recorded, or cannot be read."""
    reason: str = ""
    """Why the new model got its alias, where register says so."""

    def to_json(self) -> dict[str, Any]:
        """As values of JSON."""
        found: dict[str, Any] = asdict(self)
        for place, metric in enumerate(self.scores.metrics if self.scores else ()):
            if metric.comparison is not None:
                found["scores"]["metrics"][place]["comparison"] = metric.comparison.to_json()
        return found


def find_changes(old: Record, new: Record, noise: "Noise | None" = None, reason: str = "") -> Changes:
    """Compare two models of one task. What an older run lacks is a note.

    `noise`: the spread of the headline metric between seeds, if it is known; `reason`: why the new model got its alias.
    Raises GristmillError if the tasks differ.
    """
    task = new.task or old.task
    if task is None:
        raise GristmillError(f"{old.name} and {new.name}: neither run has its recipe, so nothing can be compared")
    if old.task is not None and old.task != task:
        raise GristmillError(
            f"{old.name} is a {old.task} model and {new.name} a {task} model; only models of one task can be compared"
        )
    sides = _side(old), _side(new)
    if old.run_id == new.run_id and old.name == new.name:
        return Changes(*sides, task, same=True, reason=reason)
    notes: list[str] = []
    recipes = old.settings, new.settings
    for record, recipe in zip((old, new), recipes, strict=True):
        if recipe is None:
            notes.append(f"the recipe is not recorded for {record.name}")
    nothing: tuple[tuple[StageDocuments, ...], tuple[Move, ...]] = ((), ())
    documents, moves = _try(notes, nothing, lambda: find_documents(old, new))
    return Changes(
        *sides,
        task,
        same=False,
        settings=() if None in recipes else find_settings(recipes[0] or {}, recipes[1] or {}),
        documents=documents,
        moves=moves,
        code=_try(notes, None, lambda: find_code(old, new)),
        scores=_try(notes, None, lambda: find_scores(old, new, task, noise)),
        curves=(_curve(old, notes), _curve(new, notes)),
        notes=tuple(notes),
        reason=reason,
    )


def _try(notes: list[str], otherwise: Part, find: Callable[[], Part]) -> Part:
    """A part, or `otherwise` and a note if one of its files is damaged."""
    try:
        return find()
    except DataError as error:
        notes.append(str(error))
        return otherwise


def _curve(record: Record, notes: list[str]) -> Curve | None:
    found = _try(notes, None, lambda: read_curve(record))
    if found is None:
        notes.append(f"the learning curve is not recorded for {record.name}")
    return found


def _side(record: Record) -> Side:
    details = record.read_json(REPORT).get("details") or {}
    facts = {
        "recipe": record.recipe,
        "run": record.run_id or "",
        "commit": (record.commit or "")[:12],
        "by": record.tags.get("mlflow.user", ""),
        "trained": record.tags.get("gristmill.timing.finished", "").replace("T", " ").removesuffix("Z"),
        "machine": record.tags.get("gristmill.timing.device") or record.tags.get("gristmill.timing.processor", ""),
        "parameters": _count(details.get("parameters")),
        "steps": _count(details.get("steps")),
    }
    return Side(record.name, record.recipe, record.run_id, {key: value for key, value in facts.items() if value})


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else ""
