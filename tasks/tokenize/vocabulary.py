"""Vocabularies, learned and saved; which kinds there are stands in `settings`."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract.stage import write_json
from tasks.tokenize.settings import ALPHABET, TokenizeSettings
from tasks.tokenize.specials import Specials, add_template

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer


ENDLESS = re.compile(r"(\S{1000}|\s{1000})")
"""A run without a break, as of DNA or base64; what it captures stays when it splits."""


def train_vocabulary(
    texts: "Iterable[pa.LargeStringArray]", settings: TokenizeSettings, specials: Specials
) -> "Tokenizer":
    """Learn from batches of documents. The vocabulary may be smaller than asked for; the caller looks."""
    tokenizer, trainer = {
        "byte-level-bpe": _byte_level_bpe, "unigram": _unigram, "wordpiece": _wordpiece
    }[settings.kind](settings, specials)  # fmt: skip
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    add_template(tokenizer, specials)
    return tokenizer


def _byte_level_bpe(settings: TokenizeSettings, specials: Specials) -> "tuple[Tokenizer, Any]":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if len(alphabet) != ALPHABET:
        raise AssertionError(f"the byte-level alphabet has {len(alphabet)} signs")
    return tokenizer, trainers.BpeTrainer(
        vocab_size=settings.vocab_size, min_frequency=settings.min_frequency, special_tokens=specials.with_spaces(),
        initial_alphabet=alphabet, show_progress=False,
    )  # fmt: skip


def _unigram(settings: TokenizeSettings, specials: Specials) -> "tuple[Tokenizer, Any]":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=settings.vocab_size, special_tokens=specials.with_spaces(),
        unk_token=specials.names.get("unk_token"), show_progress=False,
    )  # fmt: skip


def _wordpiece(settings: TokenizeSettings, specials: Specials) -> "tuple[Tokenizer, Any]":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=specials.names.get("unk_token", specials.tokens[0])))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=settings.lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(
        vocab_size=settings.vocab_size, min_frequency=settings.min_frequency, special_tokens=specials.tokens,
        show_progress=False,
    )  # fmt: skip


def _pieces(texts: "Iterable[pa.LargeStringArray]") -> Iterator[list[str]]:
    """Texts cut within their endless runs: learning takes a time that grows with the square of the longest word."""
    for batch in texts:
        yield [piece for text in batch.to_pylist() for piece in ENDLESS.split(text) if piece]


def save_vocabulary(tokenizer: "Tokenizer", specials: Specials, folder: Path) -> None:
    """Write the two files that `AutoTokenizer.from_pretrained` wants, without the seconds that importing it costs."""
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", **specials.names, "clean_up_tokenization_spaces": False},
    )
