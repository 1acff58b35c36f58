"""Rewrites, filters and masks the documents of a batch, each on its own.

The result depends only on the document and the settings. The order is FineWeb's (Penedo et al. 2024, arXiv 2406.17557):
text repair, lengths and language, quality, blocked words, personal data. The first verdict on a document counts.
Quality rules look at texts only; all other rules also look at targets. Dropped documents are masked, too.

Unlike FineWeb, masking precedes deduplication. Duplicates are compared as the model reads them, so a test text never
differs from a training text by a phone number alone.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.clean.rewrite import rewrite, too_short_now
from tasks.clean.rules.labels import label_rules
from tasks.clean.rules.length import length_rules
from tasks.clean.rules.pairs import pair_rules
from tasks.clean.settings import CleanSettings
from tasks.clean.verdict import SIDES, Batch, Rule, Side, Verdict, of_side
from tasks.formats.corpus import corpus_schema, extra_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REJECTED = ("reason", "value", "threshold")
"""Columns added to those of a corpus; `reason` is null for kept documents."""

REWRITTEN, LINES, MASKED = "rewritten", "lines", "masked"
"""Steps that change texts."""

DIGEST_BYTES = 16
"""128 bits: among 10^9 different texts, the chance of any collision is 1 in 10^20."""


@dataclass
class Noted:
    """Cleaning counts, summed over batches."""

    rewritten: Counter[str] = field(default_factory=Counter)
    """Documents changed by each rewriting step, on either side."""
    lines: Counter[str] = field(default_factory=Counter)
    """Dropped lines by reason."""
    personal: Counter[str] = field(default_factory=Counter)
    """Personal data and secrets found, by kind."""
    bytes: Counter[str] = field(default_factory=Counter)
    """Bytes of all texts and targets after each step that changes texts: REWRITTEN, LINES, MASKED."""

    def __add__(self, other: "Noted") -> "Noted":
        return Noted(**{name: counts + getattr(other, name) for name, counts in vars(self).items()})


@dataclass
class Documents:
    """The documents of a batch during cleaning."""

    columns: dict[str, "pa.LargeStringArray"]
    verdicts: list[Verdict | None]

    def undecided(self) -> "NDArray[np.bool_]":
        """True where a document has no verdict yet [documents]."""
        import numpy as np

        return np.fromiter((verdict is None for verdict in self.verdicts), bool, len(self.verdicts))

    def bytes(self) -> int:
        """Bytes of texts and targets."""
        import pyarrow.compute as pc

        return sum(pc.sum(pc.binary_length(self.columns[side])).as_py() or 0 for side in SIDES)

    def left(self, side: Side = "text") -> "pa.LargeStringArray":
        """One side of the documents without a verdict; null for the others."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.if_else(pa.array(self.undecided()), self.columns[side], None)

    def drop(self, verdicts: Mapping[int, Verdict], side: Side = "text") -> None:
        """Add verdicts on one side by row; a document keeps its first one."""
        for row, verdict in verdicts.items():
            self.verdicts[row] = self.verdicts[row] or of_side(side, verdict)


def rules_of(settings: CleanSettings, rare: Mapping[str, int]) -> list[Rule]:
    """The rules enabled by the settings; `rare`: document counts of labels with too few."""
    return [
        *length_rules(settings, "text"),
        *length_rules(settings.target, "target"),
        *label_rules(settings.min_documents_per_label, rare),
        *pair_rules(settings.max_length_ratio, settings.identical_sides),
    ]


def clean_batch(
    batch: "pa.RecordBatch", settings: CleanSettings, rare: Mapping[str, int]
) -> tuple["pa.RecordBatch", Noted]:
    """Clean a batch (columns of a corpus). Returns it with the columns REJECTED and `digest`, and the counts.

    `rare`: document counts of labels with too few in the corpus.
    """
    noted = Noted()
    documents = _rewrite_and_judge(batch, settings, rare, noted)
    judge_languages(documents, settings)
    noted.bytes[REWRITTEN] = documents.bytes()
    _judge_quality(documents, settings, noted)
    noted.bytes[LINES] = documents.bytes()
    _drop_blocked(documents, settings)
    source = _mask(documents, settings, noted, batch.column("source"))
    noted.bytes[MASKED] = documents.bytes()
    return judged(batch, documents, {**documents.columns, "source": source}, documents.columns["text"]), noted


def judged(
    batch: "pa.RecordBatch", documents: Documents, cleaned: Mapping[str, "pa.Array"], hashed: "pa.Array"
) -> "pa.RecordBatch":
    """The batch with its cleaned columns, the columns REJECTED, and `digest`, a hash of each text in `hashed`."""
    import pyarrow as pa

    columns: dict[str, Any] = {**dict(zip(batch.schema.names, batch.columns, strict=True)), **cleaned}
    columns |= {name: [verdict and getattr(verdict, name) for verdict in documents.verdicts] for name in REJECTED}
    schema = corpus_schema(*REJECTED, extra=extra_of(batch.schema))
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    raw = hashed.cast(pa.large_binary()).to_pylist()
    digests = [hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest() for text in raw]
    digest = pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False)
    return pa.RecordBatch.from_arrays([*arrays, pa.array(digests, digest.type)], schema=schema.append(digest))


def _rewrite_and_judge(
    batch: "pa.RecordBatch", settings: CleanSettings, rare: Mapping[str, int], noted: Noted
) -> Documents:
    """Repair texts and apply the rules about sizes and labels."""
    import pyarrow.compute as pc

    changed = defaultdict[int, set[str]](set)
    text, sizes = rewrite(batch.column("text"), settings, changed)
    target, sizes_of_target = rewrite(batch.column("target"), settings, changed)
    for steps in changed.values():
        noted.rewritten.update(sorted(steps))
    identical = pc.fill_null(pc.equal(text, target), False).to_numpy(zero_copy_only=False)
    documents = Documents({"text": text, "target": target}, [None] * batch.num_rows)
    judge_sizes(documents, Batch(sizes, sizes_of_target, identical, batch.column("label").to_pylist()), settings, rare)
    return documents


def judge_sizes(documents: Documents, seen: Batch, settings: CleanSettings, rare: Mapping[str, int]) -> None:
    """Apply the rules about sizes and labels."""
    import numpy as np

    for rule in rules_of(settings, rare):
        dropped, why = rule(seen)
        documents.drop({row: why(row) for row in np.flatnonzero(dropped & documents.undecided()).tolist()})


def judge_languages(documents: Documents, settings: CleanSettings) -> None:
    """Drop documents in other languages."""
    if settings.languages is None:
        return
    from tasks.clean.rules.language.identify import other_language

    wanted: dict[Side, str | None] = {"text": settings.languages.text, "target": settings.languages.target}
    for side, code in wanted.items():
        if code is not None:
            documents.drop(other_language(documents.left(side), code, settings.languages), side)


def _judge_quality(documents: Documents, settings: CleanSettings, noted: Noted) -> None:
    """Apply the quality rules. What they leave of a text must still be long enough."""
    if not any(settings.quality.sections.values()):
        return
    import pyarrow.compute as pc

    from tasks.clean.rules.quality.judge import judge

    asked = documents.left()
    judged = judge(asked, settings.quality)
    noted.lines += judged.lines_dropped
    documents.drop({row: verdict for row, verdict in enumerate(judged.verdicts) if verdict is not None})
    changed = pc.fill_null(pc.not_equal(judged.texts, asked), False)
    documents.columns["text"] = pc.if_else(changed, judged.texts, documents.columns["text"])
    documents.drop(too_short_now(documents.columns["text"], changed, settings, settings))


def _drop_blocked(documents: Documents, settings: CleanSettings) -> None:
    if settings.blocked_words is None:
        return
    from tasks.clean.rules.blocked.count import count, dropped

    for side in SIDES:
        counts = count(documents.left(side), settings.blocked_words)
        documents.drop(dropped(counts, settings.blocked_words), side)


def _mask(
    documents: Documents, settings: CleanSettings, noted: Noted, source: "pa.LargeStringArray"
) -> "pa.LargeStringArray":
    """Mask both sides. Returns the masked source names, which may quote a heading."""
    if settings.privacy is None:
        return source
    from tasks.clean.rules.privacy.mask import dropped, mask

    for side in SIDES:
        masked = mask(documents.columns[side], settings.privacy)
        documents.columns[side] = masked.column
        noted.personal.update({kind: found["found"] for kind, found in masked.totals().items()})
        documents.drop(dropped(masked.counts, settings.privacy), side)
    return without_personal_data(source, settings)


def without_personal_data(column: "pa.Array", settings: CleanSettings) -> "pa.Array":
    """A column of texts with personal data masked if the settings say so."""
    if settings.privacy is None:
        return column
    from tasks.clean.rules.privacy.mask import mask

    return mask(column, settings.privacy).column
