"""Training on more than one device: `GRISTMILL_LAUNCH`.

    torchrun:2              2 processes on this machine
    torchrun:2x8@HOST       2 machines with 8 processes each, which meet at HOST, the first of them, at PORT; the same
    torchrun:2x8@HOST:PORT  command is run on each, and only HOST gets the outputs
    ray:2                   2 processes on the Ray cluster that GRISTMILL_ENGINE names (`tasks.train.on_ray`)

The stage starts the processes with torchrun's agent (`torch.distributed.launcher`), as children that end with it: the
ranks, each `python -m tasks.train.rank RECIPE` (`tasks.train.rank`). Rank 0 writes the outputs into the stage's partial
folder; the stage moves them into place, as ever. If one rank ends, the agent ends all, and the stage ends as that rank
did: with its sentence and its exit code.
"""

import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.run import Job, Report
from tasks.stage.runtime import find_device, launch_seconds, node, workers
from tasks.train.distributed import RANKS
from tasks.train.endings import REPORT, explain, stop

NAME = "GRISTMILL_LAUNCH"
PORT = 29400
"""torchrun's."""
FORM = re.compile(
    r"(?P<kind>torchrun|ray):(?:(?P<hosts>[1-9][0-9]{0,4})x)?(?P<ranks>[1-9][0-9]{0,4})"
    r"(?:@(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?)?"
)
LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"


@dataclass(frozen=True)
class Launch:
    """How the processes of a training are started."""

    kind: str
    """torchrun or ray."""
    ranks: int
    """Processes on each machine."""
    hosts: int = 1
    host: str = "127.0.0.1"
    port: int = PORT

    @property
    def number(self) -> int:
        """The number of this machine, from 0. Raises GristmillError if it cannot be known."""
        given = node()
        if given is not None and given >= self.hosts:
            raise GristmillError(f"GRISTMILL_NODE: {given}, but {NAME} has {self.hosts} machines, numbered from 0")
        if given is not None or self.hosts == 1:
            return given or 0
        if _is_here(self.host):
            return 0
        if self.hosts > 2:
            raise GristmillError(f"GRISTMILL_NODE: not set; with {self.hosts} machines, give each but HOST its number")
        return 1


def read_launch() -> Launch | None:
    """What GRISTMILL_LAUNCH says; None if it is not set. Raises GristmillError if it is invalid."""
    text = os.environ.get(NAME)
    if not text:
        return None
    found = FORM.fullmatch(text)
    hosts = int(found["hosts"] or 1) if found else 0
    port = int(found["port"] or PORT) if found else 0
    if (
        not found or not 0 < port < 2**16
        or (found["kind"] == "ray" and (found["hosts"] or found["host"]))
        or (hosts > 1) != bool(found["host"])
    ):  # fmt: skip
        raise GristmillError(
            f"{NAME}: {text!r} is not like torchrun:2 (processes on this machine), torchrun:2x8@HOST:PORT (2 machines "
            "with 8 each, which meet at HOST), ray:2 (processes on a Ray cluster)"
        )
    return Launch(found["kind"], int(found["ranks"]), hosts, (found["host"] or "127.0.0.1").strip("[]"), port)


def launched(job: Job, launch: Launch) -> Report:
    """Run the stage `train` on several processes, from the machine that gets the outputs."""
    folder = (job.partial / "ranks").absolute()
    folder.mkdir()
    if launch.kind == "ray":
        from tasks.train.on_ray import by_ray

        by_ray(job.recipe, launch.ranks, folder)
    else:
        by_torchrun(job.recipe, launch, folder)
    return Report(**json.loads((folder / REPORT).read_text(encoding="utf-8")))


def take_part(recipe: str, launch: Launch) -> None:
    """Run this machine's processes of a training whose outputs another machine gets.

    Raises GristmillError at the end if DVC is waiting for outputs.
    """
    with tempfile.TemporaryDirectory(prefix="gristmill-ranks-") as folder:
        by_torchrun(recipe, launch, Path(folder))
    sentence = f"took part in the training of {launch.host}, which has the outputs"
    if "DVC_STAGE" in os.environ:
        raise GristmillError(
            f"{sentence}; DVC has none to keep here: on this machine, run `python -m tasks.train {recipe}` alone"
        )
    print(f"train: {sentence}; nothing was written here", file=sys.stderr, flush=True)


def by_torchrun(recipe: str, launch: Launch, folder: Path) -> None:
    """Run the ranks of this machine under torchrun's agent.

    Raises GristmillError, TransientError or KeyboardInterrupt as the rank that ended first; RuntimeError after a bug.
    """
    number, threads = launch.number, max(workers() // launch.ranks, 1)
    settings = {RANKS: os.fspath(folder), "OMP_NUM_THREADS": str(threads)}
    if LOG_LEVEL not in os.environ:  # torch's C++ would log stack traces beside our sentences
        settings[LOG_LEVEL] = "FATAL"
    with _settings(settings), _agent():
        _require_devices(launch)
        _run_agent(recipe, launch, number, folder)


def _run_agent(recipe: str, launch: Launch, number: int, folder: Path) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several, seconds = launch.hosts > 1, launch_seconds()
    quiet = {local: Std.ALL for local in range(launch.ranks) if number or local}
    config = LaunchConfig(
        min_nodes=launch.hosts, max_nodes=launch.hosts, nproc_per_node=launch.ranks, max_restarts=0,
        run_id="gristmill", rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=f"{launch.host}:{launch.port}" if several else "127.0.0.1:0",
        rdzv_configs={"rank": number, "timeout": seconds}, local_addr=None if several else "127.0.0.1",
        logs_specs=DefaultLogsSpecs(os.fspath(folder / "logs"), redirects=quiet),
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "tasks.train.rank", recipe)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        locals_ = {rank: failure.local_rank for rank, failure in error.failures.items()}
        words = {rank: next(folder.glob(f"logs/*/*/{local}/stderr.log"), None) for rank, local in locals_.items()}
        explain(folder, codes, launch.ranks * launch.hosts, "the other machines", words)
    except SignalException as error:
        _end_by(error.sigval, folder)
    except Exception as error:
        if not _is_of_network(error):
            raise
        raise TransientError(
            f"{NAME}: the machines did not meet at {launch.host}:{launch.port} within {seconds} s "
            f"(GRISTMILL_LAUNCH_TIMEOUT); start the same command on each of the {launch.hosts}: {one_line(error)[:120]}"
        ) from error


def _end_by(number: signal.Signals, folder: Path) -> NoReturn:
    """End as a process does that got this signal, after its ranks have."""
    if number == signal.SIGINT:
        path = folder / "0.json"
        stop(json.loads(path.read_text(encoding="utf-8"))["error"] or "" if path.exists() else "")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


def _require_devices(launch: Launch) -> None:
    """Raise GristmillError if this machine has fewer devices than ranks."""
    device = find_device()
    if device == "cuda":
        import torch

        there, what = torch.cuda.device_count(), "GPUs"
    elif device == "cpu":
        there, what = workers(), "cores"
    else:
        there, what = 1, f"{device} device"
    if launch.ranks > there:
        more = f", or set GRISTMILL_WORKERS={launch.ranks} to share cores" if device == "cpu" else ""
        raise GristmillError(
            f"{NAME}: {launch.ranks} processes on this machine, which has {there} {what}: use torchrun:{there}{more}"
        )


def _is_here(host: str) -> bool:
    """Whether a name is one of this machine's. Raises TransientError if it has no address."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransientError(f"{NAME}: the host {host} has no address: {error.strerror}") from error
    for family, kind, *_, address in found:
        with socket.socket(family, kind) as tried, suppress(OSError):
            tried.bind((address[0], 0))
            return True
    return False


def _is_of_network(error: Exception) -> bool:
    from torch.distributed import DistError
    from torch.distributed.elastic.rendezvous import RendezvousError

    return isinstance(error, DistError | RendezvousError | TimeoutError | ConnectionError)


@contextmanager
def _settings(values: Mapping[str, str]) -> Iterator[None]:
    """While active, the environment has these values; ranks inherit it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _agent() -> Iterator[None]:
    """While active, torchrun's agent may take signals, and does not log what the stage says in a sentence."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for each, handler in kept.items():
            signal.signal(each, handler)
