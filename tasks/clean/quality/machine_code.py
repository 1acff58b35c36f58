"""Where the kernels' machine code is kept, so that only the first process on a machine compiles them.

It lies in the user's cache ($XDG_CACHE_HOME/gristmill/kernels, or $NUMBA_CACHE_DIR), in a folder named by a hash of
the sources of this room, not beside the sources: the package may be read-only, and numba, which looks at one file a
function, would take the machine code of a kernel for fresh when only a function that it calls was changed in another
file.

Processes that compile at the same time write the same files, each whole and then renamed, and never over those of
another source. Where nothing can be written, every process compiles for itself.
"""

import hashlib
import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from numba import njit
from numba.core import config

if TYPE_CHECKING:
    from numba.core.dispatcher import Dispatcher

part = njit(_nrt=False)
"""A function that kernels call and that makes no array. Without numba's runtime no reference to the arrays that it is
handed is counted: counting them, an atomic addition at every call, took three quarters of the time."""


@lru_cache
def kept(kernel: "Dispatcher") -> Any:
    """A kernel that finds its machine code on the disk; some seconds where it is not there yet."""
    before = config.CACHE_DIR
    try:
        folder().mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder()).close()  # where it cannot be written to, numba would take one beside the sources
        config.CACHE_DIR = str(folder())
        kernel.enable_caching()  # looks at the folder now, and at the setting never again
    except (OSError, RuntimeError):  # numba's and pathlib's word for: there is no folder to write to
        return kernel
    finally:
        config.CACHE_DIR = before
    return kernel


@lru_cache(maxsize=1)
def folder() -> Path:
    """The folder for the machine code of these very sources; not made here."""
    sources = hashlib.blake2b(unicodedata.unidata_version.encode(), digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR, sources.hexdigest())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "gristmill", "kernels", sources.hexdigest())
