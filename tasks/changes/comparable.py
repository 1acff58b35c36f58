"""Whether two evaluations can be compared, metric by metric, and on which documents."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.changes.record import METRICS, Record

OF_TOKENS = ("perplexity", "loss", "pseudo_perplexity", "masked_accuracy")
"""Metrics per token, comparable only with the same tokenizer; all others are per text."""
OF_TOKENIZER = ("tok", "source_length")
"""Parts of a signature that do not matter to metrics per text."""
DATA, INTERVALS = "data", ("bootstrap",)
"""The part that names the test text, and those that change no score of a document."""
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
    differing = [key for key in dict.fromkeys((*second, *first)) if first.get(key) != second.get(key)]
    settings = [key for key in differing if key not in (*OF_TOKENIZER, DATA, *INTERVALS)]
    if settings:
        told = ", ".join(f"{key} {first.get(key, 'missing')} and {second.get(key, 'missing')}" for key in settings)
        return Basis(refused=f"the two were evaluated with other settings ({told})")
    tokens = any(key in OF_TOKENIZER for key in differing)
    if DATA not in differing:
        return Basis(tokens_differ=tokens, sentence="both were scored on the same test text")
    return find_shared(old, new, tokens)


def parts(signature: str) -> Mapping[str, str]:
    """A signature, `key:value|…`, as a mapping."""
    return {key: value for key, _, value in (part.partition(":") for part in signature.split("|"))}


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
