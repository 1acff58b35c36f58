"""The tokenizer's vocabulary sizes and special token ids."""

from dataclasses import dataclass
from pathlib import Path

from tasks.formats.chat_ids import ChatTemplate
from tasks.formats.text_ids import Frame, opening
from tasks.formats.tokenizer import load_tokenizer
from tasks.formats.tokens import TARGET, Index
from tasks.stage.errors import DataError


@dataclass(frozen=True)
class Vocabulary:
    """Special token ids; None where the tokenizer has no such token."""

    size: int
    eos: int | None
    pad: int | None
    cls: int | None
    sep: int | None
    mask: int | None
    special: tuple[int, ...]
    """All special token ids, sorted."""
    target_size: int | None
    """Size of the target vocabulary, if separate."""
    frame: Frame
    """The special tokens around a text."""
    opening: list[int]
    """The ids that begin each text of a causal model."""

    @property
    def padding(self) -> int:
        """The padding id; without a pad token, that of the eos or sep token, or 0."""
        return next(number for number in (self.pad, self.eos, self.sep, 0) if number is not None)


def read_vocabulary(folder: Path, splits: dict[Path, Index]) -> Vocabulary:
    """The vocabulary of the tokenizer in `folder`. Raises DataError if a split was made by a different tokenizer."""
    tokenizer = load_tokenizer(folder)
    for path, index in splits.items():
        if len(tokenizer) != index.vocab_size:
            raise DataError(
                f"{path}/index.json: vocab_size: {index.vocab_size}, but the tokenizer in {folder} has {len(tokenizer)}"
            )
        if not index.template and index.eos_token_id not in (tokenizer.eos_token_id, tokenizer.sep_token_id):
            raise DataError(
                f"{path}/index.json: eos_token_id: {index.eos_token_id}, "
                f"but the tokenizer in {folder} ends a text with {tokenizer.eos_token_id or tokenizer.sep_token_id}"
            )
    other = folder / TARGET
    return Vocabulary(
        size=len(tokenizer),
        frame=Frame.of(tokenizer),
        opening=opening(tokenizer),
        special=tuple(sorted(tokenizer.all_special_ids)),
        target_size=len(load_tokenizer(other)) if other.is_dir() else None,
        **{name: getattr(tokenizer, f"{name}_token_id") for name in ("eos", "pad", "cls", "sep", "mask")},
    )


def require_template(folder: Path, split: Path, index: Index) -> None:
    """Raises DataError if conversations were not rendered by the chat template of the tokenizer in `folder`."""
    try:
        template = ChatTemplate.open(folder)
    except ValueError as error:
        raise DataError(f"{folder}: {error}") from error
    if (template.sha256, template.end) != (index.template, index.eos_token_id):
        raise DataError(f"{split}/index.json: rendered by another chat template than that in {folder}")
