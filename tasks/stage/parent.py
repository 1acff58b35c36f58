"""End a process with its parent, so that no stage outlives the DVC process or flow that started it.

On Linux the kernel does this (PR_SET_PDEATHSIG, prctl(2)); elsewhere a thread polls the parent's id.
"""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1

PARENT = "GRISTMILL_PARENT"
"""Holds the starter's process id: the starter may die before this process can look up its parent."""


def end_with_parent(kill: signal.Signals = signal.SIGKILL) -> None:
    """Send this process `kill` when its parent ends. That is safe, because outputs are renamed into place."""
    parent = os.getppid()
    starter = int(os.environ.get(PARENT) or parent)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, kill, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    else:
        threading.Thread(target=_watch, args=(parent, kill), daemon=True).start()
    orphaned = starter != parent and (parent == 1 or not lives(starter))  # if the starter lives, a shell is in between
    if os.getppid() != parent or orphaned:  # the parent ended before anything watched it
        os.kill(os.getpid(), kill)


def lives(process: int) -> bool:
    """Whether a process has this number, whoever its owner is."""
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
