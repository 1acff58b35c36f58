"""Tokenization: encoding to shards against the bare encoder, learning a vocabulary against `tokenizers`."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.growth import real_texts, write_grown
from benchmarks.targets import Target
from benchmarks.timing import best
from tasks.formats.tokens import Tokens
from tasks.stage.runtime import workers
from tasks.tokenize.codec import learn
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.work import Side, encode_split, texts_of

VOCAB = 8192
SIZE = 100_000_000
ASKED = 0.7
"""Required fraction of the bare encoder's speed."""
FULL = 0.995
"""Required fraction of tokens in full blocks; the rest of a pass is less than one block."""
TIMES = 5


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure encoding, agreement with `tokenizers`, full blocks, and learning."""
    texts = real_texts()
    written = write_grown(folder / "clean", texts, SIZE)
    settings = TokenizeSettings(vocab_size=VOCAB)
    column = pa.array(texts, pa.large_string())
    codec = learn(lambda: [column], lambda: [column[:200]], settings, "causal-lm", folder / "tokenizer", "bench")
    yield f"tokens: {written / 1e6:,.0f} MB, a vocabulary of {VOCAB:,}, {workers()} cores, by {codec.engine.name}"
    batches = list(texts_of(folder / "clean", "text"))
    bare = best(_bare(folder / "tokenizer", batches), TIMES, time.perf_counter)
    number = iter(range(100))

    def whole() -> None:
        encode_split(folder / "clean", Side("text", codec), folder / f"tokens-{next(number)}", lambda _: None)

    ours = best(whole, TIMES, time.perf_counter)
    yield f"  the bare encoder on text in memory {written / 1e6 / bare:8.0f} MB/s"
    rate = written / 1e6 / ours
    yield f"  Parquet to shards on disk          {rate:8.0f} MB/s"
    yield Target("tokens, Parquet to shards vs the bare encoder", bare / ours, "of its rate", ASKED)
    yield from _peers(folder / "tokenizer", batches[0], codec)
    yield from _blocks(folder / "tokens-0")
    yield from _learning(column, settings, folder)


def _bare(tokenizer: Path, batches: Sequence[pa.Array]) -> Callable[[], Any]:
    """gigatoken on texts in its own layout; the ids are discarded."""
    import awkward
    import gigatoken

    encoder = gigatoken.Tokenizer.from_json((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    given = [awkward.from_arrow(batch) for batch in batches]
    return lambda: [encoder.encode_batch(texts) for texts in given]


def _peers(tokenizer: Path, batch: pa.Array, codec: Any) -> Iterator[str | Target]:
    from tokenizers import Tokenizer

    reference, given = Tokenizer.from_file(str(tokenizer / "tokenizer.json")), batch.to_pylist()
    began = time.perf_counter()
    rows = reference.encode_batch_fast(given, add_special_tokens=False)
    spent = time.perf_counter() - began
    found = codec.engine.encode(batch)
    ids = np.fromiter((token for row in rows for token in row.ids), np.uint32)
    same = np.array_equal(ids, found.ids) and found.lengths.tolist() == [len(row.ids) for row in rows]
    yield f"  tokenizers                         {batch.nbytes / 1e6 / spent:8.1f} MB/s"
    yield Target("tokens, ids equal those of tokenizers", float(same), "(1: all)", 1)


def _blocks(folder: Path) -> Iterator[Target]:
    """The fraction of tokens in full training blocks: all but those of the last, partial block."""
    tokens = Tokens.open(folder)
    for length in (512, 2048):
        used = len(tokens) // length * length
        yield Target(f"tokens in full blocks of {length:,}", used / len(tokens), "of all", FULL)


def _learning(column: pa.Array, settings: TokenizeSettings, folder: Path) -> Iterator[str | Target]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    size, texts = column.nbytes / 1e6, column.to_pylist()
    number = iter(range(100))

    def learned() -> None:
        learn(lambda: [column], lambda: [], settings, "causal-lm", folder / f"learned-{next(number)}", "bench")

    def theirs() -> Tokenizer:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=settings.vocab_size, min_frequency=settings.min_frequency, show_progress=False,
            special_tokens=["<|endoftext|>"], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )  # fmt: skip
        made.train_from_iterator([texts], trainer)
        return made

    ours, spent = (best(work, 3, time.perf_counter) for work in (learned, theirs))
    merges = [merges_of(Tokenizer.from_file(str(folder / "learned-0" / "tokenizer.json"))), merges_of(theirs())]
    yield f"  learning from {size:.0f} MB: ours {ours:.1f} s, tokenizers {spent:.1f} s"
    yield Target("tokens, learning speedup over tokenizers", spent / ours, "times", 1)
    yield Target("tokens, merges equal those of tokenizers", float(merges[0] == merges[1]), "(1: all)", 1)


def merges_of(tokenizer: Any) -> Sequence[Any]:
    """The merges in order."""
    return list(json.loads(tokenizer.to_str())["model"]["merges"])
