"""One process of a training on more than one device: `python -m tasks.train.rank RECIPE`, which torchrun starts.

It trains like the only process, but its batches, gradients and measurements are shared (`tasks.train.distributed`).
Rank 0 alone writes. How it ended it leaves in GRISTMILL_RANKS, as `<rank>.json`, for the stage.
"""

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from tasks.stage.errors import EXIT_TRANSIENT
from tasks.stage.run import Job, Stage, command_line
from tasks.train.distributed import RANKS
from tasks.train.endings import LOST, write_report

OUTCOME = "GRISTMILL_OUTCOME"


class Ended(BaseException):
    """SIGTERM: another rank has ended. Rank 0 then closes the record before it goes."""


def take_part(recipe: str, rank: int, folder: Path) -> None:
    """Train as one rank; rank 0 writes outputs and report."""
    import torch

    from tasks.train.work import INPUTS, OUTPUTS, train

    stage = Stage("train", train, INPUTS, OUTPUTS, "training/report.json")
    try:
        report = train(Job(stage, recipe))
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        outcome = {"exit_code": EXIT_TRANSIENT, "error": f"{LOST} the connection to another rank: {error}"}
        (folder / f"{rank}.json").write_text(json.dumps(outcome), encoding="utf-8")
        sys.stderr.flush()
        os._exit(EXIT_TRANSIENT)  # torch would wait for ranks that are gone
    if rank == 0:
        write_report(folder, report)
    torch.distributed.barrier()  # no rank leaves while another one needs the store of rank 0's machine
    torch.distributed.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Whether an error only says that another rank is gone."""
    from torch.distributed import DistBackendError, DistNetworkError, DistStoreError

    if isinstance(error, DistBackendError | DistNetworkError | DistStoreError):
        return True
    return any(
        words in str(error) for words in ("onnection closed by peer", "onnection reset by peer", "Broken pipe", "gloo")
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal and the agent send it, both
    raise KeyboardInterrupt


def main() -> None:
    """See the module."""
    rank, folder = int(os.environ["RANK"]), Path(os.environ[RANKS])
    os.environ[OUTCOME] = os.fspath(folder / f"{rank}.json")
    if rank == 0:
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, _interrupt)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        command_line("train", lambda recipe: take_part(recipe, rank, folder))
    except Ended:
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
