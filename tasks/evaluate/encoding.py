"""Texts to ids as a model takes them: special tokens around, cut off where they are too long, filled up in a batch."""

from collections.abc import Sequence
from typing import Any

from tasks.formats.usage import Usage


def input_length(usage: Usage, positions: int | None) -> int | None:
    """Tokens of an input, special ones included; None where there is no limit."""
    return min((limit for limit in (usage.source_length, positions) if limit is not None), default=None)


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    limit: int | None,
    closing: int | None = None,
    as_target: bool = False,
    specials: bool = True,
) -> tuple[list[list[int]], list[bool]]:
    """The ids of each text, with the tokenizer's special tokens or without, at most `limit` of them, and whether it was
    cut off.

    `closing`: an id behind each text, see `Usage`. `as_target`: the texts are outputs, which some tokenizers
    (Marian's) cut into other pieces.
    """
    end = [] if closing is None else [closing]
    limit = None if limit is None else limit - len(end)
    side, how = "text_target" if as_target else "text", {"add_special_tokens": specials}
    rows = tokenizer(**{side: list(texts)}, return_attention_mask=False, **how)["input_ids"]
    cut = [limit is not None and len(row) > limit for row in rows]
    for number, too_long in enumerate(cut):
        if too_long:
            rows[number] = tokenizer(**{side: texts[number]}, truncation=True, max_length=limit, **how)["input_ids"]
    return [[*row, *end] for row in rows], cut
