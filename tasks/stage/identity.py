"""Content hashes of settings and files.

A hash never falls back on `str()`: a value without a stable JSON form is an error.
"""

import hashlib
import json
from pathlib import Path
from typing import Any


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a value made of dicts with string keys, lists, strings, numbers, booleans and None.

    Raises TypeError for anything else and ValueError for NaN and infinities.
    """
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tree(path: Path) -> str:
    """SHA-256 (hex) of a file, or of all files under a directory by their relative names and contents."""
    if path.is_file():
        return hash_file(path)
    return fingerprint({p.relative_to(path).as_posix(): hash_file(p) for p in sorted(path.rglob("*")) if p.is_file()})


def _refuse(value: Any) -> None:
    raise TypeError(f"no stable hash for a {type(value).__name__}: {value!r}")
