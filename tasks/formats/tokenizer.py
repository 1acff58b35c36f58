"""A folder with a tokenizer in the format of Hugging Face: what it holds, and the tokenizer itself."""

from pathlib import Path
from typing import Any

from tasks.stage.errors import DataError
from tasks.stage.identity import fingerprint, hash_file

VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.spm", "*.model")
"""Files that decide which ids a text has."""


def hash_tokenizer(folder: Path) -> str:
    """SHA-256 (hex) of what decides which ids a text has. Raises DataError where a folder holds no tokenizer."""
    if (folder / VOCABULARY[0]).is_file():
        return hash_file(folder / VOCABULARY[0])
    found = sorted({path for pattern in VOCABULARY for path in folder.glob(pattern)})
    if not found:
        raise DataError(f"{folder}: no tokenizer.json in it, nor another vocabulary")
    return fingerprint({path.name: hash_file(path) for path in found})


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder. Raises DataError where there is none, or a damaged one."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    hash_tokenizer(folder)  # transformers would make an empty tokenizer where there is none
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, truncation_side="right")
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise DataError(f"{folder}: its tokenizer cannot be loaded: {' '.join(str(error).split())}") from error
