"""The recipe section `tokenize`."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section
from tasks.stage.task import PAIRS

ALPHABET = 256
"""Every byte is a token of a byte-level vocabulary, so that no text is out of vocabulary."""
OF_BASE = {"kind", "prefix"}
"""Keys that say something where the base's tokenizer is used."""


class TokenizeSettings(Section):
    """What the vocabulary is made of; it is learned from the training split alone."""

    kind: Literal["byte-level-bpe", "unigram", "wordpiece", "base"] = "byte-level-bpe"
    """byte-level-bpe  Sennrich et al. 2016 (arXiv 1508.07909) on bytes (GPT-2, 2019): no text is out of vocabulary
    unigram            Kudo 2018 (arXiv 1804.10959), with spaces as part of the pieces, as SentencePiece has them
    wordpiece          as in BERT (arXiv 1810.04805): words and punctuation, cut into pieces
    base               the tokenizer of the model that the recipe starts from, unchanged"""
    vocab_size: int = Field(default=2048, ge=16, le=1 << 24)
    """Tokens in all, special ones included."""
    min_frequency: int = Field(default=2, ge=1)
    """A pair must be seen this often to become a merge (not of a unigram vocabulary)."""
    end_of_text: str = Field(default="<|endoftext|>", pattern=r"^[^\w\s]\S{2,}$")
    """Causal models: closes every document; also begins a text and pads a batch. Where a text holds it, it ends there,
    too: it is three signs or more, and no word."""
    lowercase: bool = False
    """Wordpiece: letters lose case and accents, as in BERT's uncased models."""
    shared: bool = True
    """Pairs: one vocabulary for both sides, or one for each (which only some architectures take: marian)."""
    prefix: str = ""
    """Pairs and classes: put before each text, as T5 wants to be told what to do: `summarize: `."""

    @model_validator(mode="after")
    def _nothing_to_learn_of_a_base(self) -> Self:
        if self.kind == "base" and (learned := sorted(self.model_fields_set - OF_BASE)):
            raise ValueError(
                "\n".join(f"{key}: the tokenizer of the base is used unchanged; leave it out" for key in learned)
            )
        if self.kind == "byte-level-bpe" and self.vocab_size < ALPHABET + 2:
            raise ValueError(f"vocab_size: {self.vocab_size} is less than 256 bytes, the end of a text and a merge")
        if self.lowercase and self.kind != "wordpiece":
            raise ValueError("lowercase: only a wordpiece vocabulary is; texts are cleaned by the section clean")
        return self

    def problems(self, task: str) -> Iterator[str]:
        """What does not fit a task; each begins with the key."""
        fitting = {
            "end_of_text": task == "causal-lm",
            "shared": task in PAIRS,
            "prefix": task in (*PAIRS, "classification"),
        }
        for key, fits in fitting.items():
            if key in self.model_fields_set and not fits:
                yield f"tokenize.{key}: means nothing to {task}; leave it out"
        if task in ("causal-lm", *PAIRS) and self.kind == "wordpiece":
            yield "tokenize.kind: wordpiece loses spaces and line ends, so that no text could be written again"
