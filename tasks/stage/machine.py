"""What a machine refuses, in words: disk, memory, a GPU's kernels, however a library words it."""

import errno
import os
import re

from tasks.stage.errors import GristmillError

DISK = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "disk quota exceeded",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows",
    errno.EIO: "the disk cannot be read or written (input/output error)",
    errno.ENOTDIR: "a file is in the place of a folder",
}
MEMORY = "not enough memory; use fewer workers (GRISTMILL_WORKERS=1), smaller batches (batch_size), or a larger machine"
NO_MEMORY = re.compile(
    r"can(?:no|')t allocate memory|unable to allocate|out of memory|bad_alloc|failed to map segment", re.IGNORECASE
)
"""Messages of torch, numpy, pyarrow, C++ and the loader of shared libraries."""
UNREPEATABLE = re.compile(r"(\S+) does not have a deterministic implementation")


def refusal(error: BaseException | None) -> str | None:
    """A sentence if the machine is the cause of an error, however deep in its chain; else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK:
            where = f" ({os.fspath(error.filename)})" if isinstance(error.filename, str | os.PathLike) else ""
            return DISK[error.errno] + where
        text = "" if isinstance(error, GristmillError) else str(error)  # ours says all there is to say
        code = re.search(r"os error (\d+)\)", text)  # of Rust
        if code is not None and int(code[1]) in DISK:
            return DISK[int(code[1])]
        if "No space left on device" in text or "database or disk is full" in text:
            return DISK[errno.ENOSPC]
        if "attempt to write a readonly database" in text:
            return DISK[errno.EROFS]
        said = isinstance(error, RuntimeError | OSError | ImportError) and NO_MEMORY.search(text)
        if isinstance(error, MemoryError) or said:
            return MEMORY
        if found := UNREPEATABLE.match(text):
            return f"{found[1]} gives other numbers each time on this GPU; train another architecture, or on the CPU"
        error = error.__cause__ or error.__context__
    return None
