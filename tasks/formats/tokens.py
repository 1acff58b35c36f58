"""Token ids of one split in memory-mapped shards, with document boundaries.

    <folder>/part-00000.bin   ids, little-endian uint16 (uint32 for large vocabularies), documents back to back.
                              Causal and masked models: each ends with the end-of-text token; causal models: it
                              begins with what the base's tokenizer puts before a text. Pairs and classes: each has its
                              tokenizer's special tokens; in pairs, the end-of-text token is appended if the tokenizer
                              appends nothing
    <folder>/documents.npy    int64 [documents + 1]: start of each document in the stream, and the end of the stream
    <folder>/index.json       dtype, vocabulary size, end-of-text id, tokens, documents, bytes of text, tokens per
                              shard, hash of the tokenizer, prefix of each text, whether end-of-text was appended
    <folder>/target/          pairs: the other side in the same format, with as many documents
    <folder>/labels.npy       classes: int64 [documents], indices into labels.json
    <folder>/labels.json      classes: their names, sorted, the same for every split
    <folder>/answers.npy      conversations: int64 [answers, 2], the start and the end in the stream of what the model
                              learns to say, the end of the turn included; in order
    <folder>/rejected/        preferences: the conversations with the rejected answer, in the same format, with as many
                              documents; the only answer of each document, here and beside it, is the last one
    <folder>/parts.json       mixtures: [[source, documents], …] in the order of the stream

A document may cross shards, but never splits.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from tasks.stage.errors import DataError
from tasks.stage.run import write_json

Ids = NDArray[np.int64]

SHARD_TOKENS = 1 << 27
"""Ids per shard: 256 MiB as uint16."""

REJECTED = "rejected"
"""Folder of the conversations with the rejected answer, inside that of a split."""
TARGET = "target"
"""Folder of a pair's other side, inside that of a split; a separate tokenizer for it has a folder of the same name."""


@dataclass
class Index:
    """The content of a split's `index.json`."""

    dtype: str
    vocab_size: int
    eos_token_id: int
    tokens: int
    documents: int
    text_bytes: int
    shards: list[int]
    tokenizer: str
    prefix: str = ""
    """Prepended to each text before encoding."""
    closed: bool = True
    """Whether `eos_token_id` was appended to each text after encoding; else the tokenizer added all special tokens."""
    control: bool = False
    """Whether special tokens in a text are control tokens; in the file only if so."""
    template: str = ""
    """Conversations: SHA-256 (hex) of the chat template; in the file only for these."""
    last_only: bool = False
    """Conversations: whether earlier answers may lack a span, since the template renders them differently once later
    turns follow; in the file only if so."""


OPTIONAL = ("control", "template", "last_only")
"""Fields that are in index.json only if they are set."""


class TokenWriter:
    """Appends documents to a new folder; `close` writes the index and makes the split readable."""

    def __init__(
        self, folder: Path, vocab_size: int, eos_token_id: int, tokenizer: str, prefix: str = "", closed: bool = True,
        control: bool = False, template: str = "",
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True)
        self.folder = folder
        self.dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._index = Index(
            self.dtype.str, vocab_size, eos_token_id, 0, 0, 0, [], tokenizer, prefix, closed, control, template
        )
        self._starts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self._file: BinaryIO | None = None

    def write(self, ids: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], text_bytes: int) -> None:
        """Append documents: their ids back to back, including end-of-text tokens, and the length of each.

        Raises ValueError if lengths and ids disagree.
        """
        if int(lengths.sum()) != len(ids):
            raise ValueError(f"{len(ids)} ids, but the lengths add up to {int(lengths.sum())}")
        self._starts.append(self._index.tokens + np.cumsum(lengths, dtype=np.int64))
        self._index.tokens += len(ids)
        self._index.documents += len(lengths)
        self._index.text_bytes += text_bytes
        shards = self._index.shards
        ids = np.ascontiguousarray(ids, self.dtype)
        while len(ids):
            if self._file is None:
                self._file = (self.folder / f"part-{len(shards):05d}.bin").open("wb")
                shards.append(0)
            head, ids = np.split(ids, [SHARD_TOKENS - shards[-1]])
            self._file.write(head.data)
            shards[-1] += len(head)
            if shards[-1] == SHARD_TOKENS:
                self._file.close()
                self._file = None

    def note_last_only(self) -> None:
        """Note that only the last answer of a conversation is sure to have a span."""
        self._index.last_only = True

    def close(self) -> Index:
        """Close the last shard, and write boundaries and index."""
        if self._file is not None:
            self._file.close()
        np.save(self.folder / "documents.npy", np.concatenate(self._starts))
        known = asdict(self._index)
        write_json(self.folder / "index.json", {k: v for k, v in known.items() if k not in OPTIONAL or v})
        return self._index


@dataclass(frozen=True)
class Tokens:
    """The ids of a split as one array, read on demand."""

    index: Index
    starts: NDArray[np.int64]
    """[documents + 1]: start of each document in the stream, and the end of the stream."""
    maps: Sequence[NDArray[np.unsignedinteger]]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises DataError if files are missing, truncated or disagree with the index."""
        try:
            index = Index(**json.loads((folder / "index.json").read_text(encoding="utf-8")))
            starts = np.load(folder / "documents.npy", mmap_mode="r")
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise DataError(f"{folder}: not a valid folder of tokens: {error}") from error
        maps = []
        for number, size in enumerate(index.shards):
            path = folder / f"part-{number:05d}.bin"
            wanted = size * np.dtype(index.dtype).itemsize
            if not path.is_file() or path.stat().st_size != wanted:
                raise DataError(f"{path}: missing or truncated; expected {wanted:,} bytes")
            maps.append(np.memmap(path, dtype=index.dtype, mode="r"))
        if len(starts) != index.documents + 1 or int(starts[-1]) != index.tokens or sum(index.shards) != index.tokens:
            raise DataError(f"{folder}: documents.npy, index.json and the shards disagree")
        return cls(index, starts, maps)

    def __len__(self) -> int:
        return self.index.tokens

    def slice(self, start: int, stop: int) -> NDArray[np.int64]:
        """Ids [stop - start] of a range of the stream, across shards if necessary."""
        first, at = divmod(start, SHARD_TOKENS)
        parts = []
        for shard in self.maps[first:]:
            parts.append(shard[at : at + stop - start])
            start += len(parts[-1])
            at = 0
            if start >= stop:
                break
        return np.concatenate(parts, dtype=np.int64) if parts else np.empty(0, np.int64)

    def document(self, number: int) -> NDArray[np.int64]:
        """Ids of one document, including its end-of-text token."""
        return self.slice(int(self.starts[number]), int(self.starts[number + 1]))


@dataclass(frozen=True)
class Labels:
    """The classes of a split's documents."""

    names: list[str]
    indices: NDArray[np.int64]
    """[documents]"""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises DataError if files are missing, damaged or disagree."""
        try:
            names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
            indices = np.load(folder / "labels.npy")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder}: labels cannot be read: {error}") from error
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(names):
            raise DataError(f"{folder}: labels.npy refers to classes that labels.json lacks")
        return cls(names, indices)

    def write(self, folder: Path) -> None:
        """Write them next to the tokens of the same documents."""
        write_json(folder / "labels.json", self.names)
        np.save(folder / "labels.npy", self.indices.astype(np.int64))


@dataclass(frozen=True)
class Answers:
    """What the model learns to say, by conversation."""

    spans: Ids
    """[answers, 2] Start and end in the stream."""
    first: Ids
    """[documents + 1] The first answer of each document, and the number of all answers."""

    @classmethod
    def open(cls, folder: Path, tokens: Tokens) -> Self:
        """The answers of `tokens`. Raises DataError if the file is missing, damaged or disagrees with the tokens."""
        try:
            spans = np.load(folder / "answers.npy")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder}: answers cannot be read: {error}") from error
        first = np.searchsorted(spans[:, 0], tokens.starts)
        ordered = (spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] >= spans[:-1, 1]).all()
        inside = (spans[:, 1] <= tokens.starts[np.searchsorted(tokens.starts, spans[:, 0], side="right")]).all()
        if not (ordered and inside):
            raise DataError(f"{folder}: answers.npy does not fit the tokens")
        return cls(spans, first)

    def of(self, document: int) -> Ids:
        """The spans in a document [answers, 2]: start and end in the stream, like `Tokens.starts`."""
        return self.spans[int(self.first[document]) : int(self.first[document + 1])]


def write_answers(folder: Path, spans: Ids) -> None:
    """Write the answers beside the tokens of the same conversations."""
    np.save(folder / "answers.npy", spans.astype(np.int64).reshape(-1, 2))


def write_parts(folder: Path, parts: Sequence[tuple[str, int]]) -> None:
    """Write the sources of a mixture, in the order of the stream, each with the number of its documents."""
    write_json(folder / "parts.json", [list(part) for part in parts])


def read_parts(folder: Path, tokens: Tokens) -> list[tuple[str, range]]:
    """The sources of a mixture, each with the numbers of its documents; empty if the split is of one source.

    Raises DataError if the file is damaged or disagrees with the tokens.
    """
    path, first, found = folder / "parts.json", 0, []
    if not path.exists():
        return []
    try:
        for name, documents in json.loads(path.read_text(encoding="utf-8")):
            found.append((str(name), range(first, first + int(documents))))
            first += int(documents)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not valid: {error}") from error
    if first != tokens.index.documents:
        raise DataError(f"{path}: names {first:,} documents, but there are {tokens.index.documents:,}")
    return found
