"""Temporary folders that a killed process cannot leave for good: the next one removes them.

They are in the system's folder for temporary files, since MLflow cannot write to every path of a project.
"""

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.parent import lives

NAME = re.compile(r"gristmill-\w+-(\d+)-\w+")


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder for the length of a block; `purpose` is part of its name. Removes those of killed processes before."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"gristmill-{purpose}-*")):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)  # another process may be faster
            print(f"{purpose}: removed {folder}, left by a process that was killed", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=f"gristmill-{purpose}-{os.getpid()}-") as name:
        yield Path(name)


def _is_left(folder: Path) -> bool:
    """Whether a folder is ours and its process is gone."""
    named = NAME.fullmatch(folder.name)
    try:
        status = folder.lstat()
    except OSError:  # removed meanwhile
        return False
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return named is not None and ours and not lives(int(named[1]))
