"""Differences as tables and sentences, for the terminal and the page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.changes.code import Code, Version
from tasks.changes.differences import Changes
from tasks.changes.documents import Group, StageDocuments
from tasks.changes.extremes import Extreme
from tasks.changes.scores import Metric, Scores

LONGEST = 300
"""Characters of a setting that are shown."""
BEGINNING = 160
"""Characters of an output in a table; the page has more."""
ROWS = 100
"""Rows of a table; more are counted."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: tuple[str, ...] = ()
    """Numeric columns."""
    note: str = ""
    """A sentence under the title."""


def summary(changes: Changes) -> list[str]:
    """What matters most, one sentence each."""
    if changes.same:
        return [f"{changes.old.name} and {changes.new.name} are the same model: nothing differs"]
    told = [f"{changes.new.name}: {changes.reason}"] if changes.reason else []
    scores = changes.scores
    if scores is not None:
        first = next((each.comparison for each in scores.metrics if each.name == scores.headline), None)
        told.append(first.sentence() if first is not None else f"no verdict: {scores.basis}")
    told.append(_counts(changes))
    if leak := _leak(changes):
        told.append(leak)
    return told


def tables(changes: Changes) -> list[Table]:
    """All tables that have rows, or a note that says why they have none."""
    found: list[Table] = []
    if changes.same:
        return found
    old, new = names(changes)
    if changes.scores is not None:
        found += _scores(changes.scores, old, new)
    found += [_settings(changes, old, new), *_documents(changes, old, new)]
    if changes.code is not None:
        found += _code(changes.code, old, new)
    return [table for table in found if table.rows or table.note]


def notes(changes: Changes) -> list[str]:
    """What is not recorded or cannot be compared, one sentence each."""
    code = changes.code.notes if changes.code else ()
    return list(dict.fromkeys((*changes.notes, *code, *(changes.scores.notes if changes.scores else ()))))


def names(changes: Changes) -> tuple[str, str]:
    """Titles of the columns of both sides."""
    old, new = changes.old.name, changes.new.name
    return (old, new) if old != new else (f"{old} (old)", f"{new} (new)")


def number(value: float | None) -> str:
    """A score for people."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.4f}"


def signed(value: float) -> str:
    """A difference for people."""
    return "0" if value == 0 else f"{value:+,.0f}" if abs(value) >= 1e5 else f"{value:+,.4f}"


def _counts(changes: Changes) -> str:
    found = [_plural(len(changes.settings), "setting")]
    by_stage = {each.stage: each for each in changes.documents}
    for stage, told in (("train", "training"), ("test", "test")):
        if (own := by_stage.get(stage)) is not None and own.same is not None:
            differing = sum(group.documents for group in (own.came, own.went, own.changed) if group)
            found.append(_plural(differing, f"{told} document"))
    if (code := changes.code) is not None:
        found.append(_plural(len(code.commits) + code.more_commits, "commit"))
        found.append(_plural(len(code.packages), "package"))
    return f"differing: {', '.join(found)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _leak(changes: Changes) -> str:
    moved = sum(move.documents for move in changes.moves if (move.old, move.new) == ("train", "test"))
    if not moved:
        return ""
    return (
        f"{_plural(moved, 'document')} of the test text of {changes.new.name} stood in the training text of"
        f" {changes.old.name}, which has an unfair advantage on {'it' if moved == 1 else 'them'}"
    )


def _scores(scores: Scores, old: str, new: str) -> Iterator[Table]:
    columns = ("metric", "better is", old, new, "gain", "95 % interval", "verdict", "")
    rows = [_metric(each) for each in scores.metrics]
    yield Table("Scores", columns, rows, columns[2:6], scores.basis)
    by = ("by", "slice", "metric", "documents", old, new, "gain")
    slices = [
        (
            each.kind,
            each.name,
            each.metric,
            f"{each.documents:,}",
            number(each.old),
            number(each.new),
            signed(each.gain),
        )
        for each in scores.slices
    ]
    note = "a gain above 0 means that the new model is better; small slices vary by chance" if slices else ""
    yield Table("Slices", by, slices, by[3:], note)
    for title, extremes in (("Became most better", scores.better), ("Became most worse", scores.worse)):
        yield Table(title, ("document", "measure", old, new, "what the models gave"), [*map(_extreme, extremes)],
                    (old, new))  # fmt: skip


def _metric(metric: Metric) -> tuple[str, ...]:
    found, aim = metric.comparison, "less" if metric.less_is_better else "more"
    shown = (metric.name, aim, number(metric.old), number(metric.new))
    if found is None:
        return (*shown, "", "", "not compared", metric.note)
    finite = math.isfinite(found.low) and math.isfinite(found.high)
    interval = f"{signed(found.low)} to {signed(found.high)}" if finite else "unknown"
    stands = f"{_plural(found.documents, 'document')} in {_plural(found.groups, 'group')}"
    return (*shown, signed(found.gain), interval, found.verdict, stands)


def _extreme(extreme: Extreme) -> tuple[str, ...]:
    outputs = "\n".join(f"{name}: {_start(text)}" for name, text in extreme.outputs)
    return (extreme.id, extreme.measure, number(extreme.old), number(extreme.new), outputs)


def _start(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= BEGINNING else f"{line[: BEGINNING - 1]}…"


def _settings(changes: Changes, old: str, new: str) -> Table:
    rows = [(each.key, _value(each.old), _value(each.new)) for each in changes.settings]
    unknown = any("the recipe is not recorded" in note for note in changes.notes)
    note = "" if rows else "not recorded" if unknown else "all keys are the same"
    return Table("Settings", ("key", old, new), rows, note=note)


def _value(text: str | None) -> str:
    if text is None:
        return "not written (default)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _documents(changes: Changes, old: str, new: str) -> Iterator[Table]:
    columns = ("stage", old, new, "same", "came", "went", "changed", "")
    rows = [_stage(each) for each in changes.documents]
    yield Table("Documents", columns, rows, columns[1:7])
    moves = [(each.old, each.new, f"{each.documents:,}", ", ".join(each.examples)) for each in changes.moves]
    yield Table(
        "Documents that moved between splits", ("from", "to", "documents", "for example"), moves, ("documents",)
    )
    examples: dict[tuple[str, ...], tuple[str, ...]] = {}  # what came into raw came into valid, too
    for row in (row for each in changes.documents for row in _examples(each)):
        examples.setdefault(row[1:], row)
    yield Table("Documents, for example", ("stage", "what", "document", "text"), list(examples.values()))


def _stage(stage: StageDocuments) -> tuple[str, ...]:
    counts = [stage.old, stage.new, stage.same]
    groups = [group.documents if group else None for group in (stage.came, stage.went, stage.changed)]
    shown = ("" if count is None else f"{count:,}" for count in (*counts, *groups))
    renamed = f"{_plural(stage.renamed, 'document')} only got another id" if stage.renamed else ""
    return (stage.stage, *shown, stage.note or renamed)


def _examples(stage: StageDocuments) -> Iterator[tuple[str, ...]]:
    groups: dict[str, Group | None] = {"came": stage.came, "went": stage.went, "changed": stage.changed}
    for what, group in groups.items():
        for each in group.examples if group else ():
            texts = [text for text in (each.old, each.new) if text is not None]
            yield (stage.stage, what, each.id, "\n→ ".join(texts) if texts else "(text not at hand)")


def _code(code: Code, old: str, new: str) -> Iterator[Table]:
    rows = [
        (each.hash, each.date, each.author, each.subject, new if each.of_new else f"only {old}")
        for each in code.commits[:ROWS]
    ]
    same = code.old is not None and code.old == code.new
    note = f"both were made at commit {str(code.old)[:12]}" if same else _more(code, len(rows))
    yield Table("Commits", ("commit", "date", "author", "subject", "leads to"), rows, note=note)
    files = [(each.path, each.status) for each in code.files[:ROWS]]
    total = len(code.files) + code.more_files
    yield Table("Files", ("file", ""), files, note=f"{len(files)} of {total:,}" if total > len(files) else "")
    yield Table("Code of the stages", ("stage", old, new), _versions(code.stages))
    yield Table("Libraries of the stages", ("library", old, new), _versions(code.libraries))
    yield Table("Packages", ("package", old, new), _versions(code.packages))


def _more(code: Code, shown: int) -> str:
    total = len(code.commits) + code.more_commits
    return f"{shown} of {total:,}" if total > shown else ""


def _versions(versions: Sequence[Version]) -> list[tuple[str, ...]]:
    return [(each.name, each.old or "-", each.new or "-") for each in versions[:ROWS]]
