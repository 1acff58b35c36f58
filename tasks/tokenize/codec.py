"""A tokenizer, learned here or the base model's, ready for the stage."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.text_ids import LOCAL, opening, read_as_text, special_tokens
from tasks.formats.tokenizer import hash_tokenizer, load_tokenizer
from tasks.formats.tokens import TARGET
from tasks.formats.weights import unfit
from tasks.stage.errors import DataError, RecipeError, one_line
from tasks.stage.task import FAMILIES, PAIRS, is_causal
from tasks.tokenize.engine import Engine, choose_engine, transformers_engine
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.specials import Specials, specials_of
from tasks.tokenize.vocabulary import Batches, save_vocabulary, train_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Codec:
    """How texts become ids."""

    engine: Engine
    vocab_size: int
    end: int
    """The id that ends a document."""
    closes: bool
    """Whether `end` must be appended to the engine's output."""
    fingerprint: str
    specials: tuple[str, ...]
    """The tokenizer's special tokens."""
    before: tuple[int, ...] = ()
    """Packed documents: the ids that the base puts before each text."""


def learn(texts: Batches, sample: Batches, settings: TokenizeSettings, task: str, folder: Path, where: str) -> Codec:
    """Learn a vocabulary from texts and save it. Raises RecipeError if the texts are too small for it."""
    specials = specials_of(task, settings)
    tokenizer = learn_vocabulary(texts, settings, specials, folder, where)
    end = specials.names.get("eos_token") or specials.names["sep_token"]
    packed = FAMILIES[task].packed
    if settings.special_tokens_in_text == "text":
        read_as_text(tokenizer)
    engine = choose_engine(tokenizer, not packed, sample())
    size = tokenizer.get_vocab_size()
    return Codec(engine, size, tokenizer.get_vocab()[end], packed, hash_tokenizer(folder), tuple(specials.tokens))


def learn_vocabulary(
    texts: Batches, settings: TokenizeSettings, specials: Specials, folder: Path, where: str
) -> "Tokenizer":
    """Learn a vocabulary and save it. Raises RecipeError if the texts are too small for it."""
    tokenizer = train_vocabulary(texts, settings, specials)
    if (size := tokenizer.get_vocab_size()) < settings.vocab_size:
        raise RecipeError(
            f"{where}: tokenize.vocab_size: {settings.vocab_size:,} is too large for the training text, which gave "
            f"{size:,} tokens with min_frequency {settings.min_frequency}"
        )
    save_vocabulary(tokenizer, specials, folder)
    return tokenizer


def take(base: Path, sample: Batches, task: str, folder: Path, column: str, control: bool) -> Codec:
    """Copy the base model's tokenizer for a column, unchanged. Raises DataError if it does not suit the task.

    `control`: see `open_tokenizer`.
    """
    require_model(base)
    own = base / TARGET
    source, inside = (own, folder / TARGET) if column == TARGET and own.is_dir() else (base, folder)
    tokenizer = load_tokenizer(source, control)
    if not inside.exists():
        copy_tokenizer(source, inside)
    causal = is_causal(task, _is_encoder_decoder(base))
    end = _end(tokenizer, task, causal, source)
    # A causal model has the target in the middle of its sequence: no special token may precede it.
    specials = not FAMILIES[task].packed and not (causal and column == TARGET)
    as_target = column == TARGET and source == base and not causal
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and not as_target:
        backend.no_truncation()  # a saved tokenizer may enable both
        backend.no_padding()
        engine = choose_engine(backend, specials, sample())
    else:
        engine = transformers_engine(tokenizer, specials, as_target)
    closes = FAMILIES[task].packed or (task in PAIRS and _last_id(engine) != end)
    return Codec(
        engine, len(tokenizer), end, closes, hash_tokenizer(inside),
        tuple(special_tokens(tokenizer.added_tokens_decoder.values())),
        tuple(opening(tokenizer)) if task == "causal-lm" else (),
    )  # fmt: skip


def _last_id(engine: Engine) -> int:
    import pyarrow as pa

    return int(engine.encode(pa.array(["a"], pa.large_string())).ids[-1])


def _is_encoder_decoder(base: Path) -> bool:
    from transformers import AutoConfig

    try:
        return bool(AutoConfig.from_pretrained(base, **LOCAL).is_encoder_decoder)
    except unfit() as error:
        raise DataError(f"{base}/config.json: {one_line(error)}") from error


def _end(tokenizer: Any, task: str, causal: bool, folder: Path) -> int:
    """The id that ends a document. Raises DataError if the tokenizer lacks a token that the task requires."""
    if task == "masked-lm" and tokenizer.mask_token_id is None:
        raise DataError(f"{folder}: the tokenizer has no mask token, which {task} requires")
    names = ("eos_token_id",) if causal else ("eos_token_id", "sep_token_id")
    names = names[::-1] if task == "masked-lm" else names
    found = [number for name in names if (number := getattr(tokenizer, name)) is not None]
    if not found:
        raise DataError(f"{folder}: the tokenizer has no {names[0].removesuffix('_id')} to end a text with")
    return int(found[0])


def require_model(base: Path) -> None:
    """Raises DataError if the stage base has written no model."""
    if not (base / "config.json").is_file():
        raise DataError(f"{base}: no model found, but tokenize.kind is base; set model.init")


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Copy the tokenizer's files, without the model's."""
    folder.mkdir(parents=True)
    ours = ("config", "generation_config", "model", "report")
    for path in sorted(base.iterdir()):
        if path.suffix in (".json", ".txt", ".spm", ".model", ".jinja") and not path.name.startswith(ours):
            shutil.copyfile(path, folder / path.name)
