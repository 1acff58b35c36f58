"""DVC's errors, and its damaged files, as one sentence: what, where, the way out."""

import os
import re
import sqlite3
import traceback
from pathlib import Path

from tasks.stage.errors import GristmillError, TransientError, one_line

WAYS_OUT = {
    "rwlock": "delete .dvc/tmp/rwlock when no DVC process runs",
    r"dvc\.lock": "run `git checkout dvc.lock`, or delete it: stages whose results are in DVC's cache do not run again",
    "config file error": "correct .dvc/config or .dvc/config.local",
}
"""By a pattern for DVC's message."""
TEXTS = (".dvc/tmp/rwlock", ".dvc/config", ".dvc/config.local", ".dvcignore")
"""DVC's files that are not opened by a reader with a sentence of its own."""


def as_sentence(error: Exception) -> GristmillError | None:
    """The error for the user, or None for a bug."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import SCMError

    match error:
        case NotDvcRepoError():
            return GristmillError(".dvc: not found; run `git init`, then `dvc init`")
        case SCMError():
            return GristmillError("this folder is not a git repository, which DVC needs; run `git init`")
        case DvcException():
            return GristmillError(_sentence(error))
        case sqlite3.OperationalError() if "locked" in str(error):
            return TransientError("DVC's record of known hashes is locked; wait for other DVC processes to finish")
        case sqlite3.DatabaseError():
            if place := _database(error):
                return GristmillError(
                    f"{place}: DVC's record of known hashes: {error}; delete this folder, and DVC hashes again"
                )
        case UnicodeDecodeError():
            if path := next((path for path in map(Path, TEXTS) if _is_undecodable(path)), None):
                return GristmillError(f"{path}: not UTF-8; {_way_out(path.name, 'restore it')}")
        case OSError() if error.filename and not {".dvc", "dvc"}.isdisjoint(Path(os.fsdecode(error.filename)).parts):
            return GristmillError(f"{os.fsdecode(error.filename)}: {error.strerror}, and DVC needs it")
    return None


def _sentence(error: BaseException) -> str:
    """DVC's message on one line, with its causes, which name the line of a broken file."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = one_line(cause)
        if text and not any(text in part for part in parts):
            parts.append(text)
        cause = cause.__cause__
    sentence = ": ".join(parts) or type(error).__name__
    if way := _way_out(sentence):
        return f"{sentence}; {way}"
    return sentence if re.search(r"\bdvc\.yaml|\.dvc\b", sentence) else f"dvc.yaml: {sentence}"


def _way_out(text: str, otherwise: str = "") -> str:
    return next((way for sign, way in WAYS_OUT.items() if re.search(sign, text, re.IGNORECASE)), otherwise)


def _database(error: Exception) -> str | None:
    """The folder of the damaged database; sqlite does not name it."""
    from diskcache import Cache

    holders = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((holder.directory for holder in holders if isinstance(holder, Cache)), None)


def _is_undecodable(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return True
    except OSError:
        return False
    return False
