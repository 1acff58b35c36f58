"""Rewrites, filters and masks the conversations of a batch, in the order of `documents`.

What is repaired, masked and searched for blocked words is every turn, also the system prompt and a rejected answer.
Bounds, languages and duplicates judge the questions as `text` and the answers as `target`; the quality rules judge each
answer of the assistant, never a question and never a rejected answer. A conversation stays or goes as a whole, and
after every change `text` and `target` are what `tasks.formats.conversation` makes of its turns.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.clean.documents import (
    LINES,
    MASKED,
    REWRITTEN,
    Documents,
    Noted,
    judge_languages,
    judge_sizes,
    judged,
    without_personal_data,
)
from tasks.clean.rewrite import measured, rewrite, too_short_now
from tasks.clean.settings import CleanSettings
from tasks.clean.turns import KINDS, REJECTED_ANSWER, Turns
from tasks.clean.verdict import Batch, Verdict
from tasks.formats.conversation import ASSISTANT

if TYPE_CHECKING:
    import pyarrow as pa


def clean_conversations(
    batch: "pa.RecordBatch", settings: CleanSettings, rare: Mapping[str, int]
) -> tuple["pa.RecordBatch", Noted]:
    """As `clean_batch`, for a batch with the column `messages`; the digest is of the whole conversation."""
    import pyarrow as pa
    import pyarrow.compute as pc

    noted, turns = Noted(), Turns.read(batch)
    documents = Documents({}, [None] * batch.num_rows)
    _rewrite_and_judge(batch, turns, documents, settings, rare, noted)
    judge_languages(documents, settings)
    noted.bytes[REWRITTEN] = documents.bytes()
    _judge_answers(turns, documents, settings, noted)
    noted.bytes[LINES] = documents.bytes()
    _drop_blocked(turns, documents, settings)
    _mask(turns, documents, settings, noted)
    noted.bytes[MASKED] = documents.bytes()
    stored = turns.stored()
    _drop_same_answers(turns, documents)
    source = without_personal_data(batch.column("source"), settings)
    whole = stored["messages"]
    if (rejected := stored.get(REJECTED_ANSWER)) is not None:
        whole = pc.binary_join_element_wise(whole, rejected, pa.scalar("\0", pa.large_string()))
    return judged(batch, documents, {**documents.columns, **stored, "source": source}, whole), noted


def _rewrite_and_judge(
    batch: "pa.RecordBatch",
    turns: Turns,
    documents: Documents,
    settings: CleanSettings,
    rare: Mapping[str, int],
    noted: Noted,
) -> None:
    """Repair all turns and apply the rules about sizes."""
    import pyarrow.compute as pc

    changed = defaultdict[int, set[str]](set)
    turns.replace(rewrite(turns.contents, settings, changed)[0])
    steps = defaultdict[int, set[str]](set)
    of_text = turns.documents
    for text, names in changed.items():
        steps[int(of_text[text])] |= names
    for names in steps.values():
        noted.rewritten.update(sorted(names))
    documents.columns = turns.columns()
    _drop_empty(turns, documents)
    text, target = documents.columns["text"], documents.columns["target"]
    identical = pc.equal(text, target).to_numpy(zero_copy_only=False)
    sizes, sizes_of_target = measured(text, settings)[0], measured(target, settings)[0]
    judge_sizes(documents, Batch(sizes, sizes_of_target, identical, batch.column("label").to_pylist()), settings, rare)


def _drop_empty(turns: Turns, documents: Documents) -> None:
    """`empty_turn`: nothing is left of a turn; a template would render it as if somebody had said nothing."""
    import numpy as np
    import pyarrow.compute as pc

    empty = np.flatnonzero(pc.equal(pc.binary_length(turns.contents), 0).to_numpy(zero_copy_only=False))
    documents.drop(
        {
            document: Verdict("empty_turn", f"{turns.place(text)} ({KINDS[turns.kinds[text]]})", None)
            for document, text in turns.first_of_each(empty.tolist()).items()
        }
    )


def _judge_answers(turns: Turns, documents: Documents, settings: CleanSettings, noted: Noted) -> None:
    """Apply the quality rules to each answer. What they leave of the answers must still be long enough."""
    if not any(settings.quality.sections.values()):
        return
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from tasks.clean.rules.quality.judge import judge

    of_text = turns.documents
    asked = turns.are(ASSISTANT) & documents.undecided()[of_text]
    found = judge(turns.contents.filter(pa.array(asked)), settings.quality)
    noted.lines += found.lines_dropped
    for text, verdict in zip(np.flatnonzero(asked).tolist(), found.verdicts, strict=True):
        if verdict is not None:
            named = Verdict(verdict.reason, f"{verdict.value} in {turns.place(text)}", verdict.threshold)
            documents.drop({int(of_text[text]): named}, "target")
    if not turns.replace(pc.replace_with_mask(turns.contents, pa.array(asked), found.texts)):
        return
    before, documents.columns = documents.columns, turns.columns()
    _drop_empty(turns, documents)
    changed = pc.not_equal(documents.columns["target"], before["target"])
    documents.drop(too_short_now(documents.columns["target"], changed, settings.target, settings), "target")


def _drop_blocked(turns: Turns, documents: Documents, settings: CleanSettings) -> None:
    """Count over the whole conversation; the reason names the first turn with a blocked word."""
    if settings.blocked_words is None:
        return
    import numpy as np

    from tasks.clean.rules.blocked.count import Counts, count, dropped

    counts = count(turns.contents, settings.blocked_words)
    whole = Counts(turns.summed(counts.blocked), turns.summed(counts.words))
    places = turns.first_of_each(np.flatnonzero(counts.blocked).tolist())
    for document, verdict in dropped(whole, settings.blocked_words).items():
        value = f"{verdict.value}, first in {turns.place(places[document])}"
        documents.drop({document: Verdict(verdict.reason, value, verdict.threshold)})


def _mask(turns: Turns, documents: Documents, settings: CleanSettings, noted: Noted) -> None:
    """Mask all turns, also of dropped conversations."""
    if settings.privacy is None:
        return
    import numpy as np

    from tasks.clean.rules.privacy.mask import dropped, mask

    masked = mask(turns.contents, settings.privacy)
    noted.personal.update({kind: found["found"] for kind, found in masked.totals().items()})
    if turns.replace(masked.column):
        documents.columns = turns.columns()
    documents.drop(dropped(turns.summed(masked.counts).astype(np.int32), settings.privacy))


def _drop_same_answers(turns: Turns, documents: Documents) -> None:
    """`same_answers`: the chosen and the rejected answer have become the same."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rejected = np.flatnonzero(turns.are(REJECTED_ANSWER))
    if not len(rejected):
        return
    one, other = (turns.contents.take(pa.array(texts)) for texts in (rejected - 1, rejected))  # the chosen one is last
    same = np.flatnonzero(pc.equal(one, other).to_numpy(zero_copy_only=False)).tolist()
    characters = pc.utf8_length(other).to_pylist()
    documents.drop({document: Verdict("same_answers", f"{characters[document]} characters", None) for document in same})
