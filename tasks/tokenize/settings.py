"""The recipe section `tokenize`."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section
from tasks.stage.task import PAIRS

ALPHABET = 256
"""A byte-level vocabulary has a token for every byte, so no text is out of vocabulary."""
OF_BASE = {"kind", "prefix", "special_tokens_in_text"}
"""Keys allowed with the base's tokenizer."""


class TokenizeSettings(Section):
    """The vocabulary, learned from the training split only."""

    kind: Literal["byte-level-bpe", "unigram", "wordpiece", "base"] = "byte-level-bpe"
    """byte-level-bpe  Sennrich et al. 2016 (arXiv 1508.07909) on bytes (GPT-2, 2019): no text is out of vocabulary
    unigram            Kudo 2018 (arXiv 1804.10959), with spaces inside pieces, as in SentencePiece
    wordpiece          as in BERT (arXiv 1810.04805): words and punctuation, split into pieces
    base               the base model's tokenizer, unchanged"""
    vocab_size: int = Field(default=2048, ge=16, le=1 << 24)
    """Number of tokens, including special tokens."""
    min_frequency: int = Field(default=2, ge=1)
    """Minimum count of a pair to become a merge; unused by unigram."""
    end_of_text: str = Field(default="<|endoftext|>", pattern=r"^[^\w\s]\S{2,}$")
    """Causal models: ends every document; also begins a text and pads a batch. At least three characters, not a
    word."""
    lowercase: bool = False
    """Wordpiece: lowercase the text and strip accents, as BERT's uncased models do."""
    shared: bool = True
    """Pairs: one vocabulary for both sides; `false` for one each, which few architectures support (marian)."""
    prefix: str = ""
    """Pairs and classes: prefix of each text, such as `summarize: ` for T5."""
    special_tokens_in_text: Literal["text", "control"] = "text"
    """What `</s>`, `[MASK]` and other special tokens are if they occur in a document or an input: `text` like any
    other, or `control` tokens, which end, pad or mask; for texts written with them, such as chats in a template."""

    @model_validator(mode="after")
    def _nothing_to_learn_of_a_base(self) -> Self:
        if self.kind == "base" and (learned := sorted(self.model_fields_set - OF_BASE)):
            raise ValueError(
                "\n".join(f"{key}: the base's tokenizer is used unchanged; remove this key" for key in learned)
            )
        if self.kind == "byte-level-bpe" and self.vocab_size < ALPHABET + 2:
            raise ValueError(f"vocab_size: {self.vocab_size} is too small for 256 bytes, end_of_text and one merge")
        if self.lowercase and self.kind != "wordpiece":
            raise ValueError("lowercase: only valid with kind: wordpiece")
        return self

    def problems(self, task: str) -> Iterator[str]:
        """Errors in keys that do not fit the task; each begins with the key."""
        fitting = {
            "end_of_text": task == "causal-lm",
            "shared": task in PAIRS,
            "prefix": task in (*PAIRS, "classification"),
        }
        for key, fits in fitting.items():
            if key in self.model_fields_set and not fits:
                yield f"tokenize.{key}: has no effect on {task}; remove this key"
        if task in ("causal-lm", *PAIRS) and self.kind == "wordpiece":
            yield "tokenize.kind: wordpiece loses spaces and line ends, so it cannot reproduce text; use another kind"
