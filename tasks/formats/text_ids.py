"""How a tokenizer reads a text: special tokens in it are text, and only the tokenizer's template adds special tokens.

Registered models run a copy of this file, so it imports nothing of the project.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MASK = "[MASK]"
"""How a recipe or an input writes a mask, whatever the tokenizer's own mask token is."""


LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How transformers reads every model folder: it fetches nothing, and runs no code of the folder."""


def open_tokenizer(folder: Path, control: bool) -> Any:
    """The tokenizer in a folder. `control`: special tokens in a text are control tokens instead of text."""
    from transformers import AutoTokenizer

    how = {"split_special_tokens": not control, "truncation_side": "right"}
    tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL, **how)
    if not control:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        _read_pieces_as_text(tokenizer) if backend is None else read_as_text(backend)
    return tokenizer


def _read_pieces_as_text(tokenizer: Any) -> None:
    """`read_as_text` for a tokenizer in Python: sentencepiece may have a special token among its own symbols, which
    then becomes its characters."""
    special = set(special_tokens(tokenizer.added_tokens_decoder.values())) - {tokenizer.unk_token}
    read = tokenizer._tokenize  # the method that a tokenizer in Python defines
    tokenizer._tokenize = lambda text, **how: [
        sign for piece in read(text, **how) for sign in (piece if piece in special else [piece])
    ]


def special_tokens(added: "Iterable[Any]") -> list[str]:
    """The special ones of `AddedToken`s, longest first."""
    return sorted({token.content for token in added if token.special}, key=lambda token: (-len(token), token))


def read_as_text(tokenizer: "Tokenizer") -> None:
    """Make the tokenizer read special tokens in a text as text.

    `encode_special_tokens` does not suffice where the model's own vocabulary holds them: a Unigram model finds `</s>`
    like any other piece. Texts are then split inside it, `<` from `/s>`, which no piece spans.
    """
    from tokenizers import Regex, pre_tokenizers

    tokenizer.encode_special_tokens = True
    added = special_tokens(tokenizer.get_added_tokens_decoder().values())
    found = [token for token in added if len(token) > 1 and _finds(tokenizer, token)]
    if found:
        inside = "|".join(f"(?<={re.escape(token[0])})(?={re.escape(token[1:])})" for token in found)
        split, first = pre_tokenizers.Split(Regex(inside), "isolated"), tokenizer.pre_tokenizer
        tokenizer.pre_tokenizer = split if first is None else pre_tokenizers.Sequence([first, split])


def _finds(tokenizer: "Tokenizer", token: str) -> bool:
    return tokenizer.token_to_id(token) in tokenizer.encode(in_text(token), add_special_tokens=False).ids


def in_text(token: str) -> str:
    """A text with a special token at its beginning, after a space and inside a word."""
    return f"{token} {token} a{token}a"


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer adds before and after a text."""

    before: list[int]
    behind: list[int]

    @classmethod
    def of(cls, tokenizer: Any) -> "Frame":
        """The frame of a `transformers` tokenizer. Raises ValueError if it adds special tokens inside the text."""
        special, plain, text = set(tokenizer.all_special_ids), [], ""
        # A text that becomes ordinary tokens: the unknown one may also be the one that begins a text.
        for text in chain("a", (tokenizer.decode([number]) for number in range(len(tokenizer)))):
            plain = tokenizer(text, add_special_tokens=False)["input_ids"]
            if plain and special.isdisjoint(plain):
                break
        whole = tokenizer(text)["input_ids"]
        for start in range(len(whole) - len(plain) + 1):
            if plain and whole[start : start + len(plain)] == plain:
                return cls(whole[:start], whole[start + len(plain) :])
        raise ValueError(f"the tokenizer adds special tokens inside the text: {plain} becomes {whole}")

    def __len__(self) -> int:
        return len(self.before) + len(self.behind)


def opening(tokenizer: Any) -> list[int]:
    """The ids that begin each text of a causal model, as its tokenizer adds them: `<s>` of Llama 2.

    Empty if it adds none, or only the token that ends a text: that stands before each text in any case.
    """
    before = Frame.of(tokenizer).before
    return [] if before == [tokenizer.eos_token_id] else before


def mask_pattern(tokenizer: Any) -> re.Pattern[str]:
    """A mask in an input: `[MASK]` or the tokenizer's own mask token. Group 1 is the space before it, which is not
    read: tokens carry their own leading space."""
    return re.compile(rf"(\s*)(?:{'|'.join(map(re.escape, dict.fromkeys((MASK, tokenizer.mask_token))))})")


def encode_masked(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text in its frame, with the tokenizer's mask token for each mask; all else is text."""
    mask = tokenizer.mask_token_id
    after = tokenizer.added_tokens_decoder[mask].rstrip
    ids: list[int] = []
    for number, part in enumerate(mask_pattern(tokenizer).split(text)[::2]):
        part = part.lstrip() if after and number else part
        ids += [mask] * (number > 0)
        ids += tokenizer(part, add_special_tokens=False)["input_ids"] if part else []
    frame = Frame.of(tokenizer)
    return [*frame.before, *ids, *frame.behind]
