"""Documents to token ids, with the fastest engine that matches the reference on a sample of this run."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats.text_ids import in_text, special_tokens
from tasks.formats.utf8 import utf8

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

SAMPLE_DOCUMENTS = 128
"""Documents per split on which the fast engine must match the reference."""

SAMPLE_CHARACTERS = 4096
"""Characters compared in each."""


@dataclass(frozen=True)
class Encoded:
    """Concatenated ids of documents [tokens], and the number of ids of each [documents]."""

    ids: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Engine:
    """Encodes documents."""

    name: str
    encode: "Callable[[pa.LargeStringArray], Encoded]"
    """Takes a column without nulls."""
    in_threads: bool = False
    """Whether several threads may call it at once, one core each; if not, it uses all cores itself if it can."""


def choose_engine(tokenizer: "Tokenizer", specials: bool, sample: "Iterable[pa.LargeStringArray]") -> Engine:
    """gigatoken if its ids equal those of `tokenizers` on the whole sample and on special tokens in texts, else
    `tokenizers`.

    `specials`: whether to add special tokens around each text. gigatoken supports only byte-level BPE with every byte
    in the vocabulary, which some published tokenizers lack.
    """
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    reference = reference_engine(tokenizer, specials)
    if specials or not isinstance(tokenizer.model, BPE) or "ByteLevel" not in str(tokenizer.pre_tokenizer):
        return reference
    if not tokenizer.get_vocab().keys() >= set(ByteLevel.alphabet()):
        return reference
    try:
        fast = gigatoken_engine(tokenizer)
    except RuntimeError:  # a pre-tokenizer that it does not know
        return reference
    for texts in chain([_with_specials(tokenizer)], sample):
        expected, found = reference.encode(texts), fast.encode(texts)
        if not (np.array_equal(expected.lengths, found.lengths) and np.array_equal(expected.ids, found.ids)):
            return reference
    return fast


def _with_specials(tokenizer: "Tokenizer") -> "pa.LargeStringArray":
    import pyarrow as pa

    tokens = special_tokens(tokenizer.get_added_tokens_decoder().values())
    return pa.array([in_text(token) for token in tokens], pa.large_string())


def reference_engine(tokenizer: "Tokenizer", specials: bool) -> Engine:
    """Hugging Face `tokenizers`, which defines the correct ids."""

    def encode(texts: "pa.LargeStringArray") -> Encoded:
        rows = tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=specials)
        return _encoded([row.ids for row in rows])

    return Engine("tokenizers", encode)


def transformers_engine(tokenizer: "PreTrainedTokenizerBase", specials: bool, as_target: bool) -> Engine:
    """A `transformers` tokenizer that `tokenizers` does not support, such as Marian's; slow."""

    def encode(texts: "pa.LargeStringArray") -> Encoded:
        given = {"text_target" if as_target else "text": texts.to_pylist()}
        return _encoded(tokenizer(**given, add_special_tokens=specials, verbose=False)["input_ids"])

    return Engine("transformers", encode)


def _encoded(rows: Sequence[Sequence[int]]) -> Encoded:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return Encoded(np.fromiter((token for row in rows for token in row), np.uint32, int(lengths.sum())), lengths)


def gigatoken_engine(tokenizer: "Tokenizer") -> Engine:
    """gigatoken with the same vocabulary: a hundred times faster once its cache is warm. No text becomes a `str`."""
    import awkward
    import gigatoken
    from awkward.contents import ListOffsetArray, NumpyArray

    content = tokenizer.to_str()
    if tokenizer.encode_special_tokens:  # gigatoken has no such switch
        known = json.loads(content)
        known["added_tokens"] = [token for token in known["added_tokens"] if not token["special"]]
        content = json.dumps(known)
    fast = gigatoken.Tokenizer.from_json(content)

    def encode(texts: "pa.LargeStringArray") -> Encoded:
        data, offsets = utf8(texts)
        characters = NumpyArray(data, parameters={"__array__": "char"})
        strings = ListOffsetArray(awkward.index.Index64(offsets), characters, parameters={"__array__": "string"})
        rows = fast.encode_batch(awkward.Array(strings), parallel=False).layout
        ends = np.asarray(rows.offsets.data, np.int64)
        return Encoded(np.asarray(rows.content.data, np.uint32)[ends[0] : ends[-1]], np.diff(ends))

    return Engine("gigatoken", encode, in_threads=True)


def wrap_documents(encoded: Encoded, before: Sequence[int], end_of_text: int, dtype: np.dtype[Any]) -> Encoded:
    """The same documents, each after the ids `before` and followed by the end-of-text token, as ids of `dtype`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    starts = np.zeros(len(encoded.lengths) + 1, np.int64)
    np.cumsum(encoded.lengths * dtype.itemsize, out=starts[1:])
    binary = pa.large_binary()
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(encoded.ids, dtype))]
    documents = pa.LargeBinaryArray.from_buffers(binary, len(encoded.lengths), buffers)
    ends = [pa.scalar(np.array(ids, dtype).tobytes(), binary) for ids in (before, [end_of_text])]
    wrapped = pc.binary_join_element_wise(ends[0], documents, ends[1], pa.scalar(b"", binary))  # without further copies
    lengths = encoded.lengths + len(before) + 1
    return Encoded(np.frombuffer(wrapped.buffers()[2], dtype, int(lengths.sum())), lengths)
