"""`python -m flows.tied PARENT MODULE …`: the program `python -m MODULE …`, which ends with the process PARENT.

A flow starts DVC and the temporary Prefect API in this way, so that a `kill -9` of the flow leaves neither running.
What the program starts in turn can tell from GRISTMILL_LIFELINE that its starter is gone (`tasks.contract.lifeline`).
"""

import os
import runpy
import signal
import sys

from tasks.contract.lifeline import LIFELINE, end_with_parent
from tasks.contract.runtime import switch_off_telemetry


def main() -> None:
    """Tie this process to PARENT, then become MODULE."""
    parent, module, *arguments = sys.argv[1:]
    os.environ[LIFELINE] = parent
    end_with_parent()
    os.environ[LIFELINE] = str(os.getpid())
    switch_off_telemetry()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
