"""Parts that documents share with others: paragraphs that were there before, and runs of words of the test split.

Both rules ask of the documents that stay so far, in the order of `PRIORITY`: a test document keeps its paragraphs, and
the others go where they have too much of it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.clean.findings import PRIORITY, Findings, with_verdicts
from tasks.clean.near.settings import ContaminationSettings, ParagraphSettings
from tasks.clean.rules.verdict import Verdict
from tasks.clean.settings import CleanSettings
from tasks.clean.shard import CleanedShard

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tasks.clean.near.contamination import EvaluationIndex


class Parts:
    """What the two rules found. Holds 20 to 30 bytes a paragraph, and 11 to 21 bytes a word of the test split."""

    def __init__(self, shards: Sequence[CleanedShard], findings: Findings, settings: CleanSettings) -> None:
        self.settings, self.findings = settings, findings
        if settings.duplicate_paragraphs is not None:
            self.staying = first_paragraphs(shards, findings, settings.duplicate_paragraphs)
        if settings.contamination is not None:
            self.index = index_of_test(shards, findings, settings.contamination)

    def carried_out(self, number: int, documents: "pa.RecordBatch") -> "pa.RecordBatch":
        """The documents of a shard without the paragraphs that go, and with verdicts on those that go as a whole."""
        if self.settings.duplicate_paragraphs is not None:
            documents = self._without_paragraphs(number, documents, self.settings.duplicate_paragraphs)
        if self.settings.contamination is not None:
            documents = self._without_contaminated(number, documents, self.settings.contamination)
        return documents

    def _without_paragraphs(
        self, number: int, documents: "pa.RecordBatch", settings: ParagraphSettings
    ) -> "pa.RecordBatch":
        import pyarrow as pa
        import pyarrow.compute as pc

        from tasks.clean.near.paragraphs import paragraphs_of, without

        texts, stays = _staying(documents), documents.column("reason").is_null()
        cut = without(texts, paragraphs_of(texts, settings), self.staying[number])
        gone = pc.and_(stays, pc.equal(pc.binary_length(cut), 0))
        place = documents.schema.get_field_index("text")
        kept = pc.if_else(pc.and_not(stays, gone), cut, documents.column("text"))
        documents = documents.set_column(place, documents.schema.field(place), kept.cast(pa.large_string()))
        verdict = Verdict("duplicate_paragraphs", "all of it", None)
        return with_verdicts(documents, dict.fromkeys(np.flatnonzero(gone).tolist(), verdict))

    def _without_contaminated(
        self, number: int, documents: "pa.RecordBatch", settings: ContaminationSettings
    ) -> "pa.RecordBatch":
        from tasks.clean.near.contamination import overlaps

        found = overlaps(_staying(documents), self.index)
        trained_on = self.findings.priorities(number) != PRIORITY["test"]
        verdicts = {
            row: verdict
            for row in np.flatnonzero(found.contaminated(settings) & trained_on).tolist()
            if (verdict := found.verdict(row, settings)) is not None
        }
        return with_verdicts(documents, verdicts)


def first_paragraphs(
    shards: Sequence[CleanedShard], findings: Findings, settings: ParagraphSettings
) -> "list[NDArray[np.bool_]]":
    """Of the paragraphs of each shard, which stay [paragraphs]: those that no document with more right has."""
    from tasks.clean.near.paragraphs import Paragraphs, SeenParagraphs, paragraphs_of

    found = [paragraphs_of(_staying(documents), settings) for documents in _carried_out(shards, findings)]
    staying, seen = [np.ones(len(paragraphs.hashes), np.bool_) for paragraphs in found], SeenParagraphs()
    for priority in PRIORITY.values():
        for number, all_of_them in enumerate(found):
            asked = np.repeat(findings.priorities(number) == priority, all_of_them.counts)
            some = Paragraphs(all_of_them.hashes[asked], all_of_them.sizes[asked], all_of_them.counts)
            staying[number][asked] = seen.first(some)
    return staying


def index_of_test(
    shards: Sequence[CleanedShard], findings: Findings, settings: ContaminationSettings
) -> "EvaluationIndex":
    """The n-grams of the test documents that stay."""
    import pyarrow as pa

    from tasks.clean.near.contamination import EvaluationIndex

    texts = (
        _staying(documents).filter(pa.array(findings.priorities(number) == PRIORITY["test"]))
        for number, documents in enumerate(_carried_out(shards, findings))
    )
    return EvaluationIndex.of(texts, settings)


def _carried_out(shards: Sequence[CleanedShard], findings: Findings) -> "Iterator[pa.RecordBatch]":
    for number, shard in enumerate(shards):
        yield with_verdicts(shard.read("text", "reason", "value", "threshold"), findings.about(number))


def _staying(documents: "pa.RecordBatch") -> "pa.LargeStringArray":
    """The texts of documents that stay; null for the others."""
    import pyarrow.compute as pc

    return pc.if_else(documents.column("reason").is_null(), documents.column("text"), None)
