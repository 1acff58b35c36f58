"""Environment settings that do not change results, but for rounding: GRISTMILL_* and the tools' own variables.

GRISTMILL_WORKERS           processes of a data stage, and torch threads (default: the cores of this machine)
GRISTMILL_ENGINE            where data stages run: processes, or a cluster: ray, ray:ADDRESS, dask:ADDRESS
                            (default: processes)
GRISTMILL_DEVICE            auto, cpu, cuda or mps (default: auto)
GRISTMILL_COMPILE           auto, on or off: whether a training is compiled, which changes its bytes, as identity and
                            report say (default: auto, where the work repays it: see `tasks.train.compiled`)
GRISTMILL_LAUNCH            trains on more than one device: torchrun:2 (processes on this machine),
                            torchrun:2x8@HOST or torchrun:2x8@HOST:PORT (2 machines with 8 each, which meet at HOST),
                            ray:2 (on the Ray cluster of GRISTMILL_ENGINE) (default: one process)
GRISTMILL_NODE              the number of this machine among those of GRISTMILL_LAUNCH, from 0, which is HOST (default:
                            0 on HOST, 1 elsewhere)
GRISTMILL_LAUNCH_TIMEOUT    seconds in which the processes have to find each other (default: 300)
GRISTMILL_RANKS             set for each process of such a training: the folder in which it says how it ended
GRISTMILL_TIMEOUT           timeout of a stage in seconds (default: none)
GRISTMILL_TIMEOUT_<STAGE>   the same for one stage: GRISTMILL_TIMEOUT_TRAIN=3600
GRISTMILL_RETRIES           how often a flow retries a stage after a transient failure (default: 3)
GRISTMILL_CHECKPOINT_MINUTES  a training writes a checkpoint at least this often, besides those of the recipe's
                            `train.checkpoint_every` (default: 10; 0: by steps only). No key of the recipe: when a
                            clock calls for a checkpoint depends on the machine, and no byte of the model on it
GRISTMILL_STOP_AFTER        a training ends after this step, with its history beside its checkpoints and no outputs; set
                            by `gristmill reproduce --steps` (default: it runs to its end)
GRISTMILL_FLOW_RUN          set by a flow: the URL or id of its run, for the record
GRISTMILL_OUTCOME           set by a flow: the file in which a stage reports how it ended
GRISTMILL_PROGRESS          set by a flow: seconds between a stage's lines of progress
GRISTMILL_PARENT            set by a flow: the process that a stage must not outlive (`tasks.stage.parent`)
"""

import math
import os
import re
from pathlib import Path

from tasks.stage.errors import GristmillError
from tasks.stage.redact import redact

LOOPBACK = ("127.0.0.1", "localhost", "::1")

QUIET = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_off_telemetry() -> None:
    """Disable the telemetry of every tool, unless the user's environment enables it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def keep_loopback_direct() -> None:
    """Exempt this machine from HTTP_PROXY and its kin: a proxy elsewhere does not reach our servers."""
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [*filter(None, direct.split(",")), *(name for name in LOOPBACK if name not in direct.split(","))]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)


def workers() -> int:
    """How many processes or threads a stage may use; results do not depend on it."""
    return _whole_number("GRISTMILL_WORKERS") or processors()


def engine() -> tuple[str, str | None]:
    """The engine of data stages (processes, ray or dask), and the cluster's address if given."""
    wanted = os.environ.get("GRISTMILL_ENGINE") or "processes"
    kind, _, address = wanted.partition(":")
    if (
        kind not in ("processes", "ray", "dask")
        or (kind == "processes" and address)
        or (kind == "dask" and not address)
    ):
        raise GristmillError(f"GRISTMILL_ENGINE: {wanted!r} is not one of processes, ray, ray:ADDRESS, dask:ADDRESS")
    return kind, address or None


def find_device() -> str:
    """cuda, mps or cpu: the requested device, or the best one. Raises GristmillError if torch does not find it."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    wanted = os.environ.get("GRISTMILL_DEVICE") or "auto"
    if wanted == "auto":
        return next(name for name, found in there.items() if found)
    if wanted not in there:
        raise GristmillError(f"GRISTMILL_DEVICE: {wanted!r} is not one of auto, cpu, cuda, mps")
    if not there[wanted]:
        raise GristmillError(f"GRISTMILL_DEVICE: torch finds no {wanted} device on this machine")
    return wanted


def compiling() -> str:
    """Whether to compile a training: auto, on or off."""
    wanted = os.environ.get("GRISTMILL_COMPILE") or "auto"
    if wanted not in ("auto", "on", "off"):
        raise GristmillError(f"GRISTMILL_COMPILE: {wanted!r} is not one of auto, on, off")
    return wanted


def launch_seconds() -> int:
    """Seconds in which the processes of a training have to find each other."""
    return _whole_number("GRISTMILL_LAUNCH_TIMEOUT") or 300


def node() -> int | None:
    """The number of this machine among those that train together, if it was given."""
    return _whole_number("GRISTMILL_NODE", least=0)


def timeout(stage: str) -> int | None:
    """A stage's timeout in seconds, or None."""
    return _whole_number(f"GRISTMILL_TIMEOUT_{stage.upper()}") or _whole_number("GRISTMILL_TIMEOUT")


def retries() -> int:
    """How often a flow retries a stage after a transient failure."""
    value = _whole_number("GRISTMILL_RETRIES", least=0)
    return 3 if value is None else value


def last_step() -> int | None:
    """The step after which a training ends without outputs, or None."""
    return _whole_number("GRISTMILL_STOP_AFTER")


def minutes_between_checkpoints() -> float:
    """The longest time between two checkpoints of a training, in minutes; infinite if only steps count."""
    name = "GRISTMILL_CHECKPOINT_MINUTES"
    text = os.environ.get(name) or "10"
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise GristmillError(f"{name}: {text!r} is not a number of minutes >= 0")
    return float(text) or math.inf


def check_training() -> None:
    """Raise GristmillError, before any work, for an environment setting of trainings that no training can use."""
    for read in (workers, compiling, last_step, minutes_between_checkpoints, seconds_per_line):
        read()


def flow_run() -> str | None:
    """The URL or id of the flow run that started this stage, or None."""
    place = os.environ.get("GRISTMILL_FLOW_RUN")
    return None if place is None else redact(place)


def seconds_per_line() -> int | None:
    """Seconds between lines of progress, or None."""
    return _whole_number("GRISTMILL_PROGRESS")


def outcome_file() -> Path | None:
    """The file in which a stage reports to its flow how it ended, or None."""
    path = os.environ.get("GRISTMILL_OUTCOME")
    return Path(path) if path else None


def processors() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _whole_number(name: str, least: int = 1) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < least:
        raise GristmillError(f"{name}: {text!r} is not an integer >= {least}")
    return int(text)
