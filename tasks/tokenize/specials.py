"""Special tokens of a vocabulary learned here, by task, and their template."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.stage.task import PAIRS
from tasks.tokenize.settings import TokenizeSettings

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


@dataclass(frozen=True)
class Specials:
    """Special tokens by their names in `transformers`, in the order of their ids."""

    names: dict[str, str]
    """`eos_token` → `</s>`; several names may share a token."""
    template: str | None
    """Special tokens around a text, in `tokenizers` syntax; None for no special tokens."""
    pair: str | None = None
    """The template for a pair of texts."""
    extra: tuple[str, ...] = ()
    """Special tokens without a name: those that a chat template writes."""

    @property
    def tokens(self) -> list[str]:
        """Each token once."""
        return list(dict.fromkeys((*self.names.values(), *self.extra)))

    def with_spaces(self) -> "list[AddedToken]":
        """The tokens for a vocabulary with the preceding space inside each piece. The mask includes that space, too;
        otherwise it would stand for a piece after a separate space, which no text has."""
        from tokenizers import AddedToken

        mask = self.names.get("mask_token")
        return [AddedToken(token, lstrip=token == mask, special=True) for token in self.tokens]


def specials_of(task: str, settings: TokenizeSettings) -> Specials:
    """GPT-2's tokens for causal models, T5's for pairs, BERT's for masked models and classifiers."""
    if task == "causal-lm":
        names = dict.fromkeys(("bos_token", "eos_token", "pad_token"), settings.end_of_text)
        unknown = {} if settings.kind == "byte-level-bpe" else {"unk_token": "<unk>"}
        return Specials(names | unknown, None)
    if task in PAIRS:
        return Specials({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}, "$A </s>")
    bert = {
        name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    return Specials(bert, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def add_template(tokenizer: "Tokenizer", specials: Specials) -> None:
    """Make the tokenizer add special tokens around each text."""
    from tokenizers import processors

    if specials.template is None:
        return
    tokenizer.post_processor = processors.TemplateProcessing(
        single=specials.template,
        pair=specials.pair,
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in specials.tokens],
    )
