"""Run the stage: learn or take a vocabulary, encode, write; one batch of documents in memory at a time."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.formats.corpus import count_documents, count_parts, read_row_group, row_groups
from tasks.formats.tokenizer import hash_tokenizer
from tasks.formats.tokens import TARGET, TokenWriter, write_parts
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.progress import progress
from tasks.stage.run import Job, Report
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import CHATS, FAMILIES, read_task
from tasks.tokenize.chat_template import chat_tokenizer, open_chat
from tasks.tokenize.codec import Codec, learn, take
from tasks.tokenize.conversations import encode_conversations
from tasks.tokenize.engine import SAMPLE_CHARACTERS, SAMPLE_DOCUMENTS, Encoded, wrap_documents
from tasks.tokenize.labels import write_labels
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.vocabulary import Batches
from tasks.workers.threads import in_threads

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "validation", "test")
LEARNING_SPLIT = "train"
LEARN_BYTES = 1 << 30
"""Maximum bytes to learn a vocabulary from; of a larger split, evenly spaced row groups. `tokenizers` counts pairs in
32 bits, which even twice as much text cannot overflow."""
QUANTILES = {"half": 0.5, "most": 0.95, "longest": 1.0}
"""Quantiles of the lengths of documents, for the report."""

TOLD = {
    "documents_with_special_tokens": "{count:,} conversations contain special tokens, read as text",
    "answers_rendered_differently": "{count:,} earlier answers are rendered differently once later turns follow, as "
    "templates that drop thoughts do; set train.loss_on: last_answer",
    "system_turns_left_out": "{count:,} conversations have a system turn, which the chat template leaves out without a "
    "word; choose another template with tokenize.chat_template",
}
"""What a user should know of conversations."""


@dataclass(frozen=True)
class Side:
    """One column of a document: its text or its target."""

    column: str
    codec: Codec
    prefix: str = ""
    control: bool = False
    """Whether special tokens in a text are control tokens."""

    def folder(self, split: Path) -> Path:
        """The folder of its tokens."""
        return split / TARGET if self.column == TARGET else split


def tokenize(job: Job) -> Report:
    """Run the stage. Raises RecipeError for too little training text, DataError for damaged input."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(workers()))
    settings, task = read_section(job.recipe, "tokenize", TokenizeSettings), read_task(job.recipe)
    clean = job.input("clean")
    documents = {split: count_documents(clean / split) for split in SPLITS}
    if not documents[LEARNING_SPLIT]:
        raise DataError(f"{clean / LEARNING_SPLIT}: no documents to learn a vocabulary from")
    if task in CHATS:
        return _report(job, documents, _conversations(job, settings, task, documents))
    sides = _sides(job, settings, task, documents)
    sizes = " and ".join(f"{side.codec.vocab_size:,}" for side in sides)
    engine, of_base = sides[0].codec.engine.name, settings.kind == "base"
    job.say(f"vocabulary size {sizes}{' (base tokenizer, unchanged)' if of_base else ''}; encoding with {engine}")
    details: dict[str, Any] = {
        "vocab_size": sides[0].codec.vocab_size,
        "vocabulary": "of the base, unchanged" if of_base else f"{settings.kind}, learned from {_learned(clean)}",
        "engine": engine,
        "splits": {},
    }
    with progress("tokenize", sum(documents.values()) * len(sides), "texts") as shown:
        for split in SPLITS:
            for side in sides:
                name = split if side.column == "text" else f"{split}/{side.column}"
                folder = side.folder(job.output("tokens") / split)
                details["splits"][name] = encode_split(clean / split, side, folder, shown.advance)
    if held := sum(row.get("documents_with_special_tokens", 0) for row in details["splits"].values()):
        job.say(f"{held:,} texts contain special tokens, read as {settings.special_tokens_in_text}")
    if FAMILIES[task].needs == "label":
        details["labels"] = write_labels(clean, {split: job.output("tokens") / split for split in SPLITS})
    return _report(job, documents, details)


def _report(job: Job, documents: dict[str, int], details: dict[str, Any]) -> Report:
    """Write the sources of a mixture beside the tokens; returns the report."""
    for split in SPLITS:
        if parts := count_parts(job.input("clean") / split):
            write_parts(job.output("tokens") / split, list(parts.items()))
    rows = [details["splits"][split] for split in SPLITS]
    return Report(
        received={"documents": sum(documents.values()), "bytes": sum(row["bytes"] for row in rows)},
        produced={"documents": sum(row["documents"] for row in rows), "tokens": sum(row["tokens"] for row in rows)},
        details=details,
    )


def _conversations(job: Job, settings: TokenizeSettings, task: str, documents: dict[str, int]) -> dict[str, Any]:
    """Write the conversations of every split; returns what the report tells."""
    clean, folder, where = job.input("clean"), job.output("tokenizer"), str(recipe_path(job.recipe))
    texts = _every(clean / LEARNING_SPLIT, ("text", TARGET))
    base = job.input("base") if settings.kind == "base" else None
    size = chat_tokenizer(texts, settings, base, folder, where)
    chat, fingerprint, of_base = open_chat(folder, settings, where), hash_tokenizer(folder), base is not None
    kept = " (base tokenizer, unchanged)" if of_base else ""
    job.say(f"vocabulary size {size:,}{kept}; answers end with {chat.end_token}")
    details: dict[str, Any] = {
        "vocab_size": size,
        "vocabulary": "of the base, unchanged" if of_base else f"{settings.kind}, learned from {_learned(clean)}",
        "chat_template": settings.chat_template or "of the base",
        "end_of_answer": chat.end_token,
        "splits": {},
    }
    with progress("tokenize", sum(documents.values()), "conversations") as shown:
        for split in SPLITS:
            details["splits"][split] = encode_conversations(
                clean / split, job.output("tokens") / split, folder, chat, (size, fingerprint), task == "preference",
                shown.advance,
            )  # fmt: skip
    for key, told in TOLD.items():
        if count := sum(row.get(key, 0) for row in details["splits"].values()):
            job.say(told.format(count=count))
    return details


def _learned(clean: Path) -> str:
    places = row_groups(clean / LEARNING_SPLIT)
    taken = to_learn_from(places)
    part = "" if len(taken) == len(places) else f"{len(taken)} of the {len(places)} row groups of "
    return f"{part}the training split"


def _sides(job: Job, settings: TokenizeSettings, task: str, documents: dict[str, int]) -> list[Side]:
    """The sides of a document, each with its codec; text and target share one unless the recipe says otherwise."""
    clean, folder, where = job.input("clean"), job.output("tokenizer"), str(recipe_path(job.recipe))
    columns = ("text", TARGET) if FAMILIES[task].needs == TARGET else ("text",)
    control = settings.special_tokens_in_text == "control"

    def side(column: str, codec: Codec) -> Side:
        prefix = settings.prefix if column == "text" else ""
        if not control and (inside := [token for token in codec.specials if token in prefix]):
            raise RecipeError(
                f"{where}: tokenize.prefix: {inside[0]} is a special token, which texts are not read with; set "
                "tokenize.special_tokens_in_text: control"
            )
        return Side(column, codec, prefix, control)

    if settings.kind == "base":
        base = job.input("base")
        return [
            side(column, take(base, _sample(clean, documents, (column,)), task, folder, column, control))
            for column in columns
        ]
    groups = [columns] if settings.shared else [(column,) for column in columns]
    sides = []
    for group in groups:
        texts = _every(clean / LEARNING_SPLIT, group)
        inside = folder / TARGET if group == (TARGET,) else folder
        codec = learn(texts, _sample(clean, documents, group), settings, task, inside, where)
        sides += [side(column, codec) for column in group]
    return sides


def encode_split(clean: Path, side: Side, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
    """Write one side of all documents of a split; returns its entry in the report."""
    codec = side.codec
    writer = TokenWriter(
        folder, codec.vocab_size, codec.end, codec.fingerprint, side.prefix, codec.closes, side.control
    )
    places = [place[:2] for place in row_groups(clean)]
    work = partial(_encode_row_group, side=side, dtype=writer.dtype)
    ends, holding, lengths = 0, 0, [np.empty(0, np.int64)]
    for found in in_threads(work, places, workers() if codec.engine.in_threads else 1):
        writer.write(found.encoded.ids, found.encoded.lengths, found.text_bytes)
        ends += found.ends
        holding += found.holding
        lengths.append(found.encoded.lengths)
        advance(len(found.encoded.lengths))
    index = writer.close()
    every = np.concatenate(lengths)
    return {
        "documents": index.documents,
        "tokens": index.tokens,
        "bytes": index.text_bytes,
        "bytes_per_token": round(
            index.text_bytes / max(index.tokens - index.documents * (1 + len(codec.before)), 1), 4
        ),
        "length": {name: int(np.quantile(every, q, method="higher")) for name, q in QUANTILES.items() if len(every)},
        **({"end_of_text_in_documents": ends} if codec.closes else {}),
        **({"documents_with_special_tokens": holding} if holding else {}),
    }


@dataclass(frozen=True)
class _Found:
    """One side of the documents of a row group."""

    encoded: Encoded
    text_bytes: int
    ends: int
    """End-of-text tokens inside documents."""
    holding: int
    """Documents with the characters of a special token in them."""


def _encode_row_group(place: tuple[Path, int], side: Side, dtype: "np.dtype[Any]") -> _Found:
    import pyarrow as pa
    import pyarrow.compute as pc

    codec, texts = side.codec, _texts_of(*place, side.column)
    prefix, nothing = pa.scalar(side.prefix, texts.type), pa.scalar("", texts.type)
    given = pc.binary_join_element_wise(prefix, texts, nothing) if side.prefix else texts
    encoded, ends = codec.engine.encode(given), 0
    if codec.closes:
        ends = int(np.count_nonzero(encoded.ids == codec.end))
        encoded = wrap_documents(encoded, codec.before, codec.end, dtype)
    special = pc.match_substring_regex(texts, "|".join(map(re.escape, codec.specials)))
    holding = pc.sum(special, min_count=0).as_py() if codec.specials else 0
    return _Found(encoded, pc.sum(pc.binary_length(texts), min_count=0).as_py(), ends, holding)


def texts_of(folder: Path, column: str) -> "Iterator[pa.LargeStringArray]":
    """One side of all documents, in batches. Raises DataError for a document without it."""
    for path, group, _ in row_groups(folder):
        yield _texts_of(path, group, column)


def _texts_of(path: Path, group: int, column: str) -> "pa.LargeStringArray":
    texts = read_row_group(path, group, [column]).column(column)
    if texts.null_count:
        number = texts.is_null().index(True).as_py()
        name = read_row_group(path, group, ["id"]).column("id")[number]
        raise DataError(f"{path.parent}: document {name} has no {column}, which the task requires")
    return texts


def _every(folder: Path, columns: tuple[str, ...]) -> Batches:
    places = to_learn_from(row_groups(folder))
    return lambda: (_texts_of(*place, column) for column in columns for place in places)


def to_learn_from(places: list[tuple[Path, int, int]]) -> list[tuple[Path, int]]:
    """The row groups of a split to learn a vocabulary from, evenly spaced."""
    share = min(1.0, LEARN_BYTES / max(1, sum(size for *_, size in places)))
    return [place[:2] for number, place in enumerate(places) if int((number + 1) * share) > int(number * share)]


def _sample(clean: Path, documents: dict[str, int], columns: tuple[str, ...]) -> Batches:
    """The beginnings of evenly spaced documents of every split."""

    def texts() -> "Iterator[pa.LargeStringArray]":
        import pyarrow as pa
        import pyarrow.compute as pc

        for column in columns:
            for split, total in documents.items():
                step, number = max(1, total // SAMPLE_DOCUMENTS), 0
                for batch in texts_of(clean / split, column):
                    places = pa.array(range(-number % step, len(batch), step), pa.int64())
                    yield pc.utf8_slice_codeunits(batch.take(places), 0, SAMPLE_CHARACTERS)
                    number += len(batch)

    return texts
