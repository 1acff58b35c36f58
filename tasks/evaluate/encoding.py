"""Tokenize model inputs: texts → ids with special tokens, truncated."""

from collections.abc import Sequence
from typing import Any

from tasks.formats.usage import Usage


def input_length(usage: Usage, positions: int | None) -> int | None:
    """Maximum tokens of an input, special tokens included; None if unlimited."""
    return min((limit for limit in (usage.source_length, positions) if limit is not None), default=None)


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    limit: int | None,
    closing: int | None = None,
    as_target: bool = False,
    specials: bool = True,
) -> tuple[list[list[int]], list[bool]]:
    """The ids of each text, at most `limit`, and whether it was truncated.

    `closing`: an id to append to each text, see `Usage`. `as_target`: the texts are targets, which some tokenizers
    (Marian's) split differently. `specials`: add the tokenizer's special tokens.
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
