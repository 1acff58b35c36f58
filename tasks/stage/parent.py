"""A process that ends with its parent, so that no stage goes on without the DVC or the flow that asked for it.

Linux tells the kernel (PR_SET_PDEATHSIG, prctl(2)); elsewhere a thread watches the parent's id.
"""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1

PARENT = "GRISTMILL_PARENT"
"""The variable in which a starter leaves its process id: it may end before this process can ask for its parent's id."""


def end_with_parent(kill: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process gets `kill` when its parent ends. Outputs are renamed into place, so a kill is safe."""
    parent = os.getppid()
    starter = int(os.environ.get(PARENT) or parent)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, kill, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    else:
        threading.Thread(target=_watch, args=(parent, kill), daemon=True).start()
    orphaned = starter != parent and (parent == 1 or not _lives(starter))  # a living starter has a shell in between
    if os.getppid() != parent or orphaned:  # it ended before the kernel or the thread knew
        os.kill(os.getpid(), kill)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch(parent: int, kill: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), kill)
