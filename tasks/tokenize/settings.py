"""The recipe section `tokenize`."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.stage.problems import nearest
from tasks.stage.settings import Section
from tasks.stage.task import CHATS, PAIRS

ALPHABET = 256
"""A byte-level vocabulary has a token for every byte, so no text is out of vocabulary."""
OF_BASE = {"kind", "prefix", "special_tokens_in_text", "chat_template"}
"""Keys allowed with the base's tokenizer."""
TEMPLATES = ("alpaca", "chatml", "llama-2", "plain", "zephyr")
"""Chat templates of our own, in the folder `templates`."""


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
    chat_template: str | None = None
    """Chat and preference: how conversations become text. `null` is the base's own template; a name is one of ours:
    `chatml` for a vocabulary with `<|im_start|>` and `<|im_end|>` (and from scratch), `alpaca`, `plain`, `zephyr` and
    `llama-2` for any; a path such as `recipes/mine.jinja` is a file of the project, in Jinja as transformers reads
    it. Kept with the model."""

    @field_validator("chat_template")
    @classmethod
    def _a_name_or_a_file(cls, given: str | None) -> str | None:
        if given is None or given in TEMPLATES:
            return given
        if not given.endswith(".jinja"):
            raise ValueError(
                f"{given!r} is neither a template of Gristmill ({', '.join(TEMPLATES)}) nor a file that ends in "
                f".jinja{nearest(given, TEMPLATES)}"
            )
        path = PurePosixPath(given)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{given}: a file outside of the project, which DVC does not watch; copy it to recipes/")
        return path.as_posix()

    @property
    def template_file(self) -> str | None:
        """The path of the chat template, if it is a file of the project."""
        return None if self.chat_template is None or self.chat_template in TEMPLATES else self.chat_template

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
            "end_of_text": task in ("causal-lm", *CHATS),
            "shared": task in PAIRS,
            "prefix": task in (*PAIRS, "classification"),
            "special_tokens_in_text": task not in CHATS,
            "chat_template": task in CHATS,
        }
        for key, fits in fitting.items():
            if key in self.model_fields_set and not fits:
                yield f"tokenize.{key}: has no effect on {task}; remove this key"
        if task in CHATS and self.kind != "base" and self.chat_template is None:
            yield (
                "tokenize.chat_template: missing; a vocabulary learned from scratch has none of its own: write chatml, "
                "or the path of a file that ends in .jinja"
            )
        if task in ("causal-lm", *PAIRS, *CHATS) and self.kind == "wordpiece":
            yield "tokenize.kind: wordpiece loses spaces and line ends, so it cannot reproduce text; use another kind"
