"""Whether two evaluations can be compared, metric by metric, and on which documents."""

from dataclasses import dataclass, replace
from pathlib import Path

from tasks.changes.record import METRICS, RESCORED, SCORES, Record
from tasks.compare.signature import DATA, OF_INTERVALS, OF_MODELS, differing, parts

ENOUGH = 10
"""Documents that both test texts need in common; fewer say nothing."""


@dataclass(frozen=True)
class Basis:
    """What a comparison of scores stands on."""

    refused: str = ""
    """Why no metric can be compared; empty if one can."""
    tokens_differ: bool = False
    """Whether metrics per token cannot be compared."""
    shared: frozenset[str] | None = None
    """The ids of the documents that both test texts have with the same content; None if the texts are the same."""
    sentence: str = ""
    """On which text the two are compared."""


def find_basis(old: Record, new: Record) -> Basis:
    """Compare the signatures of two evaluations, and their test texts if these differ."""
    signatures = [str(record.read_json(METRICS).get("signature") or "") for record in (old, new)]
    if missing := [record.name for record, each in zip((old, new), signatures, strict=True) if not each]:
        return Basis(refused=f"no evaluation is recorded for {' and '.join(missing)}")
    first, second = map(parts, signatures)
    keys = _differing(first, second)
    settings = [key for key in keys if key not in (*OF_MODELS, DATA)]
    if settings:
        told = ", ".join(f"{key} {first.get(key, 'missing')} and {second.get(key, 'missing')}" for key in settings)
        return Basis(refused=f"the two were evaluated with other settings ({told})")
    tokens = any(key in OF_MODELS for key in keys)
    if DATA not in keys:
        return Basis(tokens_differ=tokens, sentence="both were scored on the same test text")
    return find_shared(old, new, tokens)


def scored_again(old: Record, new: Record) -> tuple[Record, Record, str]:
    """Both records with scores on one test text, if one of them was scored again on that of the other; and a sentence.

    Register does so with a champion (`rescored/<key>/`). The sentence is empty if the records stay as they are.
    """
    signatures = [parts(str(record.read_json(METRICS).get("signature") or "")) for record in (old, new)]
    if _is_comparable(*signatures):
        return old, new, ""
    for record, other, wanted in ((old, new, signatures[1]), (new, old, signatures[0])):
        for name in sorted(record.files):
            if name.startswith(f"{RESCORED}/") and name.endswith("/metrics.json"):
                found = replace(record, files={**record.files, METRICS: record.files[name], **_scores(record, name)})
                if _is_comparable(parts(str(found.read_json(METRICS).get("signature") or "")), wanted):
                    told = f"{record.name} was scored again on the test text of {other.name}"
                    return (found, new, told) if record is old else (old, found, told)
    return old, new, ""


def _scores(record: Record, metrics: str) -> dict[str, Path]:
    name = metrics.replace("metrics.json", "scores.parquet")
    return {SCORES: record.files[name]} if name in record.files else {}


def _is_comparable(first: dict[str, str], second: dict[str, str]) -> bool:
    return set(_differing(first, second)) <= set(OF_MODELS)


def _differing(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [key for key in differing(old, new) if key not in OF_INTERVALS]


def find_shared(old: Record, new: Record, tokens_differ: bool) -> Basis:
    """The documents that two different test texts share."""
    told = "the two were scored on different test texts"
    first, second = old.documents("test"), new.documents("test")
    if missing := [record.name for record, each in ((old, first), (new, second)) if each is None]:
        return Basis(refused=f"{told}, and the documents of the test text are not recorded for {' and '.join(missing)}")
    if first is None or second is None or first.table is None or second.table is None:
        return Basis(refused=f"{told} of too many documents to list")
    both = first.table.join(second.table, on=["id", "hash"], how="semi")
    again = [table["id"].filter(table["id"].is_duplicated()) for table in (first.table, second.table)]
    ids = frozenset(both["id"].to_list()) - {name for each in again for name in each.to_list()}
    shared = f"{len(ids):,} of their {first.documents:,} and {second.documents:,} documents are in both, unchanged"
    if len(ids) < ENOUGH:
        return Basis(refused=f"{told}; {shared}, which is too few to compare")
    return Basis(tokens_differ=tokens_differ, shared=ids, sentence=f"{told}; compared on what they share: {shared}")
