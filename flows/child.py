"""`python -m flows.child PARENT MODULE …`: run `python -m MODULE …` until it ends or the process PARENT does.

A flow starts DVC and the temporary Prefect API this way, each as the leader of its own process group, so that a
`kill -9` of the flow leaves no process of these groups running. The program's own children learn from GRISTMILL_PARENT
that it is gone (`tasks.stage.parent`).
"""

import os
import runpy
import signal
import sys
from types import FrameType

from tasks.stage.parent import PARENT, end_with_parent
from tasks.stage.runtime import keep_loopback_direct, switch_off_telemetry


def main() -> None:
    """Tie this process to PARENT, then become MODULE."""
    parent, module, *arguments = sys.argv[1:]
    os.environ[PARENT] = parent
    signal.signal(signal.SIGHUP, _end_group)
    end_with_parent(signal.SIGHUP)
    os.environ[PARENT] = str(os.getpid())
    switch_off_telemetry()
    keep_loopback_direct()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_group(_signal: int, _frame: FrameType | None) -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
