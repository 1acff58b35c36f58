"""What a glob passes over without a word: links to folders, links that lead nowhere, folders that cannot be read.

DVC does not look behind a link to a folder either, so it would not see such texts change: they are refused, not read.
"""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from tasks.stage.errors import DataError


def require_no_gaps(folder: Path, pattern: Sequence[str] = ("**", "*")) -> None:
    """Raises DataError for the first place below `folder` that a glob of these parts reaches but does not read."""

    def unreadable(error: OSError) -> NoReturn:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error

    depth = len(folder.parts)
    for place, folders, files in os.walk(folder, onerror=unreadable) if folder.is_dir() else ():
        folders[:] = [name for name in folders if _reaches(Path(place, name).parts[depth:], pattern)]
        for path in sorted(Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.exists():
                raise DataError(f"{path}: a link to {path.readlink()}, which does not exist; remove or mend it")
            if path.is_symlink() and path.is_dir():
                raise DataError(
                    f"{path}: a link to the folder {path.readlink()}; DVC does not watch what is behind such a link; "
                    "put the folder itself there (from another disk: a bind mount), or let recipe and dvc.yaml name it"
                )


def _reaches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a glob can go on into the folder with these parts."""
    begin = takewhile(lambda part: part != "**", pattern)
    return ("**" in pattern or len(parts) < len(pattern)) and all(map(fnmatchcase, parts, begin))
