"""A folder with a tokenizer in Hugging Face format: its hash, and the tokenizer itself."""

from pathlib import Path
from typing import Any

from tasks.formats.text_ids import open_tokenizer
from tasks.formats.weights import unfit
from tasks.stage.errors import DataError, one_line
from tasks.stage.identity import fingerprint, hash_file

VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.spm", "*.model")
"""Files that decide the ids of a text."""


def hash_tokenizer(folder: Path) -> str:
    """SHA-256 (hex) of the files that decide the ids of a text. Raises DataError if the folder has no tokenizer."""
    if (folder / VOCABULARY[0]).is_file():
        return hash_file(folder / VOCABULARY[0])
    found = sorted({path for pattern in VOCABULARY for path in folder.glob(pattern)})
    if not found:
        raise DataError(f"{folder}: no tokenizer.json or other vocabulary file")
    return fingerprint({path.name: hash_file(path) for path in found})


def load_tokenizer(folder: Path, control: bool = False) -> Any:
    """`open_tokenizer`; raises DataError if the tokenizer is missing or damaged."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    hash_tokenizer(folder)  # without one, transformers would make an empty tokenizer
    try:
        return open_tokenizer(folder, control)
    except unfit() as error:
        raise DataError(f"{folder}: the tokenizer cannot be loaded: {one_line(error)}") from error
