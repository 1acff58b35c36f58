"""The work of the stage: learn, prove, encode, write; one batch of documents in memory at a time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract.corpus import count_documents, read_batches
from tasks.contract.errors import DataError, RecipeError
from tasks.contract.identity import hash_file
from tasks.contract.progress import progress
from tasks.contract.runtime import workers
from tasks.contract.settings import read_section, recipe_path
from tasks.contract.stage import Job, Report
from tasks.contract.tokens import TokenWriter
from tasks.tokenize.engine import SAMPLE_CHARACTERS, SAMPLE_DOCUMENTS, Engine, choose_engine, close_documents
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPLITS = ("train", "validation", "test")
LEARNING_SPLIT = "train"


def tokenize(job: Job) -> Report:
    """Raises RecipeError where the training text is too small for the vocabulary, DataError for damaged input."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(workers()))
    settings = read_section(job.recipe, "tokenize", TokenizeSettings)
    clean, tokenizer_folder = job.input("clean"), job.output("tokenizer")
    documents = {split: count_documents(clean / split) for split in SPLITS}
    if not documents[LEARNING_SPLIT]:
        raise DataError(f"{clean / LEARNING_SPLIT}: no document to learn a vocabulary from")
    tokenizer = train_vocabulary(_texts(clean / LEARNING_SPLIT), settings)
    if (size := tokenizer.get_vocab_size()) < settings.vocab_size:
        raise RecipeError(
            f"{recipe_path(job.recipe)}: tokenize.vocab_size: {settings.vocab_size:,} is more than the training text "
            f"allows: it gave {size:,} with min_frequency {settings.min_frequency}"
        )
    save_vocabulary(tokenizer, settings.end_of_text, tokenizer_folder)
    engine = choose_engine(tokenizer, _sample(clean, documents))
    job.say(f"vocabulary of {size:,}; encoding with {engine.name}")
    details: dict[str, Any] = {"vocab_size": size, "engine": engine.name, "splits": {}}
    fingerprint = hash_file(tokenizer_folder / "tokenizer.json")
    with progress("tokenize", sum(documents.values()), "documents") as shown:
        for split in SPLITS:
            folder = job.output("tokens") / split
            writer = TokenWriter(folder, size, _id(tokenizer, settings.end_of_text), fingerprint)
            specials = _encode(clean / split, engine, writer, shown.advance)
            index = writer.close()
            details["splits"][split] = {
                "documents": index.documents,
                "tokens": index.tokens,
                "bytes": index.text_bytes,
                "bytes_per_token": round(index.text_bytes / max(index.tokens - index.documents, 1), 4),
                "end_of_text_in_documents": specials,
            }
    rows = list(details["splits"].values())
    return Report(
        received={"documents": sum(documents.values()), "bytes": sum(row["bytes"] for row in rows)},
        produced={"documents": sum(row["documents"] for row in rows), "tokens": sum(row["tokens"] for row in rows)},
        details=details,
    )


def _encode(folder: Path, engine: Engine, writer: TokenWriter, advance: Any) -> int:
    """Write all documents of a split; how often the end-of-text token was spelled out in a document's own text."""
    specials = 0
    for texts in _texts(folder):
        encoded = engine.encode(texts)
        specials += int((encoded.ids == writer.eos_token_id).sum())
        closed = close_documents(encoded, writer.eos_token_id)
        writer.write(closed.ids, closed.lengths, sum(len(text.encode()) for text in texts))
        advance(len(texts))
    return specials


def _texts(folder: Path) -> Iterator[list[str]]:
    for batch in read_batches(folder, ["text"]):
        yield batch.column("text").to_pylist()


def _sample(clean: Path, documents: dict[str, int]) -> Iterator[list[str]]:
    """The beginnings of documents at even distances, of every split."""
    for split, total in documents.items():
        step, number = max(1, total // SAMPLE_DOCUMENTS), 0
        for texts in _texts(clean / split):
            yield [text[:SAMPLE_CHARACTERS] for text in texts[-number % step :: step]]
            number += len(texts)


def _id(tokenizer: "Tokenizer", token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise KeyError(token)
    return number
