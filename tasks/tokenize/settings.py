"""The recipe section `tokenize`."""

from typing import Literal

from pydantic import Field

from tasks.contract.settings import Section

ALPHABET = 256
"""Every byte is a token of a byte-level vocabulary, so that no text is out of vocabulary."""


class TokenizeSettings(Section):
    """What the vocabulary is made of; the merges are learned from the training split alone."""

    kind: Literal["byte-level-bpe"] = "byte-level-bpe"
    vocab_size: int = Field(default=2048, ge=ALPHABET + 2, le=1 << 24)
    """Tokens in all: 256 bytes, the end-of-text token, and merges."""
    min_frequency: int = Field(default=2, ge=1)
    """A pair must be seen this often to become a merge."""
    end_of_text: str = Field(default="<|endoftext|>", pattern=r"^[^\w\s]\S{2,}$")
    """Closes every document; also begins a text and pads a batch. Where a text holds it, it ends there, too: it is
    three signs or more, and no word."""
