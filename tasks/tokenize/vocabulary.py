"""A byte-level BPE vocabulary, learned and saved (Sennrich et al. 2016, arXiv 1508.07909; on bytes: GPT-2, 2019)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract.stage import write_json
from tasks.tokenize.settings import ALPHABET, TokenizeSettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer


ENDLESS = re.compile(r"(\S{1000}|\s{1000})")
"""A run without a break, as of DNA or base64; what it captures stays when it splits."""


def train_vocabulary(texts: Iterator[list[str]], settings: TokenizeSettings) -> "Tokenizer":
    """Learn the merges from batches of documents. The vocabulary may be smaller than asked for; the caller looks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if len(alphabet) != ALPHABET:
        raise AssertionError(f"the byte-level alphabet has {len(alphabet)} signs")
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        min_frequency=settings.min_frequency,
        special_tokens=[settings.end_of_text],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(([piece for text in batch for piece in _pieces(text)] for batch in texts), trainer)
    return tokenizer


def _pieces(text: str) -> list[str]:
    """A text cut within its endless runs: learning takes a time that grows with the square of the longest word."""
    return [piece for piece in ENDLESS.split(text) if piece]


def save_vocabulary(tokenizer: "Tokenizer", end_of_text: str, folder: Path) -> None:
    """Write the two files that `AutoTokenizer.from_pretrained` wants, without the seconds that importing it costs."""
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    specials = dict.fromkeys(("bos_token", "eos_token", "pad_token"), end_of_text)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", **specials, "clean_up_tokenization_spaces": False},
    )
