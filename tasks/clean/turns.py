"""The turns of a batch of conversations as one column of texts, so that the rules and kernels for texts read them.

documents   [{user, assistant}, {system, user, assistant, user, assistant}]
contents    [u, a, s, u, a, u, a]      and the rejected answer behind the turns of its conversation
first       [0, 2, 7]
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from tasks.formats.conversation import ASKING, ASSISTANT, BETWEEN, ROLES, read_messages, write_messages

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REJECTED_ANSWER = "rejected"
"""Column of the answer that was not preferred."""
KINDS = (*ROLES, REJECTED_ANSWER)
"""What a text of the column is."""
NUMBERS = {name: number for number, name in enumerate(KINDS)}


@dataclass
class Turns:
    """The texts of a batch of conversations; `replace` changes them, and all columns follow."""

    contents: "pa.LargeStringArray"
    """[texts]"""
    kinds: "NDArray[np.int8]"
    """Places in KINDS [texts]."""
    first: "NDArray[np.int64]"
    """The first text of each conversation, and the number of all texts [documents + 1]."""
    given: list[str]
    """The column `messages` as it was read [documents]."""
    changed: "NDArray[np.bool_]"
    """Whether a text of the conversation is another one now [documents]."""

    @classmethod
    def read(cls, batch: "pa.RecordBatch") -> "Turns":
        """The turns of a batch with the column `messages`, and perhaps `rejected`."""
        import numpy as np
        import pyarrow as pa

        given = batch.column("messages").to_pylist()
        conversations = [read_messages(text) for text in given]
        contents = [[turn["content"] for turn in turns] for turns in conversations]
        kinds = [[NUMBERS[turn["role"]] for turn in turns] for turns in conversations]
        if REJECTED_ANSWER in batch.schema.names:
            for texts, numbers, rejected in zip(
                contents, kinds, batch.column(REJECTED_ANSWER).to_pylist(), strict=True
            ):
                texts.append(rejected)
                numbers.append(NUMBERS[REJECTED_ANSWER])
        first = np.cumsum([0, *map(len, contents)], dtype=np.int64)
        column = pa.array(list(chain.from_iterable(contents)), pa.large_string())
        flat = np.fromiter(chain.from_iterable(kinds), np.int8, first[-1])
        return cls(column, flat, first, given, np.zeros(len(given), np.bool_))

    @cached_property
    def documents(self) -> "NDArray[np.int64]":
        """The conversation of each text [texts]."""
        import numpy as np

        return np.repeat(np.arange(len(self.given)), np.diff(self.first))

    def are(self, *kinds: str) -> "NDArray[np.bool_]":
        """Which texts are of these kinds [texts]."""
        import numpy as np

        return np.isin(self.kinds, [NUMBERS[kind] for kind in kinds])

    def replace(self, contents: "pa.LargeStringArray") -> bool:
        """Take these texts instead [texts]; returns whether any is another one."""
        import pyarrow.compute as pc

        other = pc.not_equal(contents, self.contents).to_numpy(zero_copy_only=False)
        self.changed[self.documents[other]] = True
        self.contents = contents
        return bool(other.any())

    def joined(self, *kinds: str) -> "pa.LargeStringArray":
        """The texts of these kinds of each conversation, with a blank line between them [documents]."""
        import numpy as np
        import pyarrow as pa

        chosen = self.are(*kinds)
        ends = np.cumsum([0, *np.bincount(self.documents[chosen], minlength=len(self.given))]).tolist()
        texts = self.contents.filter(pa.array(chosen)).to_pylist()
        return pa.array([BETWEEN.join(texts[start:end]) for start, end in pairwise(ends)], pa.large_string())

    def columns(self) -> dict[str, "pa.LargeStringArray"]:
        """The columns `text` and `target`: questions and answers."""
        return {"text": self.joined(*ASKING), "target": self.joined(ASSISTANT)}

    def stored(self) -> dict[str, "pa.LargeStringArray"]:
        """The column `messages`, and `rejected` if the batch has it."""
        import numpy as np
        import pyarrow as pa

        written = list(self.given)
        for document in np.flatnonzero(self.changed).tolist():
            texts = range(self.first[document], self.first[document + 1])
            turns = [text for text in texts if KINDS[self.kinds[text]] != REJECTED_ANSWER]
            said = self.contents.take(pa.array(turns, pa.int64())).to_pylist()
            written[document] = write_messages(
                [{"role": KINDS[self.kinds[text]], "content": each} for text, each in zip(turns, said, strict=True)]
            )
        found = {"messages": pa.array(written, pa.large_string())}
        rejected = self.are(REJECTED_ANSWER)
        return found | ({REJECTED_ANSWER: self.contents.filter(pa.array(rejected))} if rejected.any() else {})

    def place(self, text: int) -> str:
        """Where a text is, for reasons: `turn 3`, or `the rejected answer`."""
        if KINDS[self.kinds[text]] == REJECTED_ANSWER:
            return "the rejected answer"
        return f"turn {text - self.first[self.documents[text]] + 1}"

    def first_of_each(self, texts: Iterable[int]) -> Mapping[int, int]:
        """By conversation: the first of these texts that it has."""
        found: dict[int, int] = {}
        documents = self.documents
        for text in texts:
            found.setdefault(int(documents[text]), int(text))
        return found

    def summed(self, counts: "NDArray[np.integer]") -> "NDArray[np.int64]":
        """Counts of texts [texts, …] as counts of conversations [documents, …]."""
        import numpy as np

        total = np.zeros((len(self.given), *counts.shape[1:]), np.int64)
        np.add.at(total, self.documents, counts)
        return total
