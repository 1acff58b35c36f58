"""Learn and save vocabularies; `settings` describes the kinds."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage.errors import RecipeError
from tasks.stage.run import write_json
from tasks.tokenize.settings import ALPHABET, TokenizeSettings
from tasks.tokenize.specials import Specials, add_template

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

Batches = Callable[[], "Iterable[pa.LargeStringArray]"]
"""Starts a new pass over the texts of a corpus."""
RUN = 1000
ENDLESS = re.compile(rf"(\S{{{RUN}}}|\s{{{RUN}}})")
"""RUN characters without a break, as in DNA or base64; the group keeps them when splitting."""
METASPACE, TAB, WITHIN = "\u2581", "\t", "##"
THREADS = 16
"""Threads of sentencepiece; its sums depend on their number, so it is the same on every machine."""


def train_vocabulary(texts: Batches, settings: TokenizeSettings, specials: Specials) -> "Tokenizer":
    """Learn a vocabulary, deterministically. It may be smaller than requested; the caller checks.

    Raises RecipeError if the texts have more distinct characters than the vocabulary can hold.
    """
    train = {"byte-level-bpe": _byte_level_bpe, "unigram": _unigram, "wordpiece": _wordpiece}[settings.kind]
    tokenizer = train(texts, settings, specials)
    add_template(tokenizer, specials)
    return tokenizer


def _byte_level_bpe(texts: Batches, settings: TokenizeSettings, specials: Specials) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if len(alphabet) != ALPHABET:
        raise AssertionError(f"the byte-level alphabet has {len(alphabet)} characters")
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size, min_frequency=settings.min_frequency, special_tokens=specials.with_spaces(),
        initial_alphabet=alphabet, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    return tokenizer


def _unigram(texts: Batches, settings: TokenizeSettings, specials: Specials) -> "Tokenizer":
    """By sentencepiece: `tokenizers` takes twice as long and sums likelihoods in a nondeterministic order."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = Counter(word for batch in _pieces(texts) for text in batch for word in text.split(" ") if word)
    signs = {METASPACE}.union(*words)
    if len(signs) + len(specials.tokens) > settings.vocab_size:
        raise RecipeError(
            f"tokenize.vocab_size: {settings.vocab_size:,} is too small for the {len(signs):,} distinct characters of "
            f"the training text and {len(specials.tokens)} special tokens; increase it, or use kind: byte-level-bpe"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(f"{word.replace(TAB, METASPACE)}{TAB}{count}" for word, count in sorted(words.items())),
        model_writer=model, model_type="unigram", input_format="tsv", max_sentence_length=1 << 20,
        vocab_size=settings.vocab_size - len(specials.tokens) + 1, hard_vocab_limit=False,  # + 1 for its own <unk>
        bos_id=-1, eos_id=-1, character_coverage=1.0, required_chars="".join(sorted(signs & {TAB})),
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        num_threads=THREADS, minloglevel=2,
    )  # fmt: skip
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(learned.id_to_piece(number), learned.get_score(number)) for number in range(learned.vocab_size())]
    vocabulary = [(token, 0.0) for token in specials.tokens]
    vocabulary += [piece for number, piece in enumerate(pieces) if number != learned.unk_id()]
    unknown = specials.tokens.index(specials.names["unk_token"])
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=unknown, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(specials.with_spaces())
    return tokenizer


def _wordpiece(texts: Batches, settings: TokenizeSettings, specials: Specials) -> "Tokenizer":
    """`tokenizers` numbers characters inside words in the order in which it sees them, which varies between runs, and
    breaks ties between pairs by these numbers. So learn twice: first to collect the characters, then with the
    characters numbered in sorted order."""
    from tokenizers import models

    signs = _wordpieces(texts, settings, specials.tokens, len(specials.tokens)).get_vocab()
    within = sorted(sign for sign in signs if sign.startswith(WITHIN) and len(sign) > len(WITHIN))
    vocabulary = _wordpieces(texts, settings, [*specials.tokens, *within], settings.vocab_size).get_vocab()
    tokenizer = _bert(settings.lowercase)
    tokenizer.model = models.WordPiece(vocabulary, unk_token=specials.names.get("unk_token", specials.tokens[0]))
    tokenizer.add_special_tokens(specials.tokens)
    return tokenizer


def _wordpieces(texts: Batches, settings: TokenizeSettings, specials: list[str], size: int) -> "Tokenizer":
    from tokenizers import trainers

    tokenizer = _bert(settings.lowercase)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=settings.min_frequency, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    return tokenizer


def _bert(lowercase: bool) -> "Tokenizer":
    """A tokenizer for words and punctuation, without a vocabulary yet."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _pieces(texts: Batches) -> Iterator[list[str]]:
    """Texts, split inside endless runs: learning takes time quadratic in the longest word."""
    for batch in texts():
        given = batch.to_pylist()
        yield [piece for text in given for piece in (ENDLESS.split(text) if len(text) >= RUN else [text]) if piece]


def save_vocabulary(tokenizer: "Tokenizer", specials: Specials, folder: Path) -> None:
    """Write the two files that `AutoTokenizer.from_pretrained` needs, without importing it, which takes seconds."""
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    extra = {"extra_special_tokens": list(specials.extra)} if specials.extra else {}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **specials.names,
            **extra,
            "clean_up_tokenization_spaces": False,
        },
    )
