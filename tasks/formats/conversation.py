"""Conversations: their turns, how a corpus stores them, and the questions and answers in them.

    [{"role": "system", "content": "…"}, {"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]

The column `messages` of a corpus holds this as JSON. The columns `text` and `target` follow from it: the questions are
what the user (or a tool) says, the answers what the assistant says, several joined by a blank line. A system prompt is
in neither, since all conversations of a corpus may share it.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ASSISTANT = "assistant"
ROLES = ("system", "user", ASSISTANT, "tool")
ASKING = ("user", "tool")
"""Roles that the assistant answers."""
BETWEEN = "\n\n"
"""Between the turns in `text` and `target`."""

TURN = '{"role":"'
"""What each turn begins with in the column `messages`; inside a content, the quotes are escaped."""

Message = dict[str, str]
"""The keys `role`, one of ROLES, and `content`."""


def write_messages(messages: Sequence[Message]) -> str:
    """Messages as JSON, the same text for equal messages."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def read_messages(text: str) -> list[Message]:
    """The messages that `write_messages` wrote."""
    return list(json.loads(text))


def count_turns(column: "pa.Array") -> "NDArray[np.int64]":
    """The number of turns of each conversation in a column `messages` [documents]."""
    import numpy as np
    import pyarrow.compute as pc

    return pc.count_substring(column, TURN).to_numpy(zero_copy_only=False).astype(np.int64)


def questions(messages: Sequence[Message]) -> str:
    """What the assistant is asked: the column `text`."""
    return BETWEEN.join(turn["content"] for turn in messages if turn["role"] in ASKING)


def transcript(messages: Sequence[Message]) -> str:
    """The turns for readers, each after its role."""
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in messages)


def answers(messages: Sequence[Message]) -> str:
    """What the assistant says: the column `target`."""
    return BETWEEN.join(turn["content"] for turn in messages if turn["role"] == ASSISTANT)
