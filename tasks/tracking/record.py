"""The live record of a training run: a run in MLflow, identified by the training's identity.

    record = LiveRecord.open("shakespeare", identity, settings)
    record.log(step, {"loss": 1.92, "learning_rate": 0.02})
    record.close()

Files come first, MLflow second: every point is written to `data/<recipe>/checkpoints/<identity>/record.jsonl` at once,
and a thread sends it to the tracking server when that is reachable. So training never waits, a server that is down
costs one line, a killed training continues in the same run, and `tasks.register` adds what is missing.

Names of metrics, the same for every task:

    loss, validation_loss         nats per token, by step
    learning_rate, grad_norm      by step
    tokens_per_second             by step
    test_<metric>                 one number each, from evaluation/metrics.json: test_bits_per_byte, test_perplexity,
                                  test_loss, and for other tasks test_bleu, test_rougeL, test_accuracy, …;
                                  one of them is a recipe's headline metric, `register.metric`
    test_<metric>_<baseline>      the same metric of a baseline: test_bits_per_byte_xz
    variant_<name>_<metric>       the metrics of a smaller variant, and its bytes: variant_int8_bits_per_byte
    training_<measure>            training_seconds, training_tokens_per_second, training_checkpoint_seconds and
                                  training_checkpoint_waited, from checkpoints/<identity>/timing.json
    system/<measure>              MLflow's own: processor, memory, disk, network, GPU
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tasks.stage.errors import GristmillError
from tasks.stage.run import checkpoints_of
from tasks.stage.runtime import flow_run, processors, workers
from tasks.tracking.client import (
    ENDED,
    EXPERIMENT,
    PLACE,
    connect,
    end_dead_runs,
    find_or_create_run,
    flatten,
    hush,
    log_parameters,
    log_tags,
    logged_points,
    lost_is_transient,
    patience,
)
from tasks.tracking.commit import commit_tags
from tasks.tracking.dead import hold, place
from tasks.tracking.provenance import TAG, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEGIN_SECONDS = 1.0
"""How long the thread leaves the training alone: for its first steps. Python runs one thread at a time, and the thread
begins with two seconds of it."""
FLUSH_SECONDS = 2.0
RETRY_SECONDS = 30.0
CLOSE_SECONDS = 30.0
SYSTEM_SECONDS = 5.0
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")

Point = tuple[str, int]
"""(metric, step)"""


@dataclass
class Journal:
    """The content of `record.jsonl`: settings, context, and (metric, step) → (value, seconds since 1970)."""

    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[Point, tuple[float, float]] = field(default_factory=dict)
    started: float | None = None


def journal_path(recipe: str, identity: str) -> Path:
    """The journal's file, next to the checkpoints. Not an output: it depends on clock and machine."""
    return checkpoints_of(recipe, identity) / "record.jsonl"


def read_journal(path: Path) -> Journal:
    """The journal of a training run, empty if there is no file. Cut-off and damaged lines are skipped."""
    journal = Journal()
    if not path.is_file():
        return journal
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            _read_entry(json.loads(line), journal)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return journal


def _read_entry(entry: dict[str, Any], journal: Journal) -> None:
    if "tags" in entry:
        journal.parameters |= entry["parameters"]
        journal.tags |= entry["tags"]
        journal.started = journal.started or float(entry["time"])
    else:
        step, at = int(entry["step"]), float(entry["time"])
        for key, value in entry["metrics"].items():
            journal.points.setdefault((key, step), (float(value), at))


class LiveRecord:
    """The MLflow run of a training in progress; see the module. `open` starts it, `close` ends it."""

    def __init__(self, recipe: str, identity: str, parameters: Mapping[str, Any]) -> None:
        self.recipe, self.identity = recipe, identity
        self._parameters, self._opened = parameters, time.time()
        self._file = journal_path(recipe, identity)
        self._journal = read_journal(self._file)
        self._waiting = dict(self._journal.points)
        self._known: set[Point] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._status = "FINISHED"
        self._was_finished = False
        self._monitor: Any = None
        self._warned = self._ended = False
        self._described = threading.Event()
        self._fault: Exception | None = None
        self._alive = hold(recipe, identity)
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)

    @classmethod
    def open(cls, recipe: str, identity: str, parameters: Mapping[str, Any]) -> Self:
        """Start or continue the run of this training; returns at once, and never raises if the server is down."""
        hush()
        path = journal_path(recipe, identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = cls(recipe, identity, parameters)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")  # ends a line that was cut off
        record._thread.start()
        return record

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log points of curves; returns at once. Points logged before a resume are not logged again.

        Raises what kept the thread from writing what the training came from: a full disk, for example.
        """
        if self._fault is not None:
            raise self._fault
        now = time.time()
        with self._lock:
            new = {key: float(value) for key, value in metrics.items() if (key, step) not in self._journal.points}
            if not new:
                return
            for key, value in new.items():
                self._journal.points[key, step] = self._waiting[key, step] = (value, now)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "time": now, "metrics": new}) + "\n")

    def close(self, failed: bool = False) -> None:
        """Send the rest and set the run's status; gives up after `CLOSE_SECONDS`, since the files keep everything."""
        self._status = "FAILED" if failed else "FINISHED"
        self._ending.set()
        self._described.wait()
        self._thread.join(CLOSE_SECONDS)
        self._alive.close()
        if self._fault is not None:
            raise self._fault
        if not self._ended:
            self._warn(f"MLflow did not accept the last points within {CLOSE_SECONDS:.0f} s")

    def _work(self) -> None:
        self._ending.wait(BEGIN_SECONDS)
        try:
            self._describe()
        except (OSError, GristmillError) as error:  # for the training, see `log`
            self._fault = error
            return
        finally:
            self._described.set()
        with patience(retries=0, seconds=10):
            next_try = 0.0
            while True:
                ending = self._ending.wait(FLUSH_SECONDS if next_try else 0)
                if ending or time.monotonic() >= next_try:
                    try:
                        with lost_is_transient():
                            self._send()
                            if ending:
                                self._end()
                        next_try = time.monotonic()
                    except GristmillError as error:
                        self._warn(str(error))
                        next_try = time.monotonic() + RETRY_SECONDS
                if ending:
                    return

    def _describe(self) -> None:
        """Keep what the training came from, and write its settings and context into the journal.

        In the thread, as is the import of MLflow: a training need not wait for either.
        """
        came_from = settle(self.recipe, self.identity, registering=False)
        print(f"record: {came_from.sentence()}", file=sys.stderr, flush=True)
        tags = context(self.recipe) | {TAG: came_from.rebuildable}
        entry = {"time": self._opened, "parameters": flatten(self._parameters), "tags": tags}
        with self._lock:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            _read_entry(entry, self._journal)

    def _send(self) -> None:
        from mlflow.entities import Metric

        if self._client is None:
            self._begin()
        assert self._client is not None
        with self._lock:
            batch = dict(self._waiting)
        points = [
            Metric(key, value, round(when * 1000), step)
            for (key, step), (value, when) in batch.items()
            if (key, step) not in self._known
        ]
        self._client.log_batch(self._run_id, metrics=points)
        with self._lock:
            for point in batch:
                del self._waiting[point]

    def _begin(self) -> None:
        client = connect()
        run = find_or_create_run(client, self.recipe, self.identity, self._journal.started)
        end_dead_runs(client, self.recipe, run)
        self._run_id = run.info.run_id
        self._was_finished = run.info.status == "FINISHED"
        self._known = logged_points(client, run)
        log_parameters(client, run, self._journal.parameters)
        if not self._was_finished:
            log_tags(client, run, self._journal.tags | {PLACE: place()})
            client.update_run(self._run_id, status="RUNNING")
            if ENDED in run.data.tags:
                client.delete_tag(self._run_id, ENDED)
            self._start_monitor()
        self._client = client

    def _start_monitor(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(self._run_id, sampling_interval=SYSTEM_SECONDS, resume_logging=True)
        self._monitor.start()

    def _end(self) -> None:
        assert self._client is not None
        if self._monitor is not None:
            self._monitor.finish()
        if not self._was_finished:
            self._client.set_terminated(self._run_id, self._status)
        self._ended = True

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            text = f"record: {problem}; training continues, `gristmill run {self.recipe}` completes the record later"
            print(text, file=sys.stderr, flush=True)


def context(recipe: str) -> dict[str, str]:
    """Where a training runs, as tags: git commit, flow run, machine, library versions."""
    tags = {
        "mlflow.source.name": f"python -m tasks.train {recipe}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        **{f"gristmill.{key}": value for key, value in machine().items()},
        **commit_tags(),
    }
    if (url := flow_run()) is not None:
        tags["gristmill.flow_run"] = url
    if launch := os.environ.get("GRISTMILL_LAUNCH"):
        tags["gristmill.launch"] = launch
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags[EXPERIMENT] = experiment
    return tags


def machine() -> dict[str, str]:
    """Hardware and library versions: processor, cores, memory, gpu, python, torch, …"""
    import platform
    from importlib.metadata import version

    import psutil
    import torch

    facts = {
        "processor": processor(),
        "cores": str(processors()),
        "threads": str(workers()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }
    return facts | {name: version(name) for name in LIBRARIES}


def processor() -> str:
    """The name of this machine's processor."""
    import platform

    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    return named or platform.processor() or platform.machine()


def _user() -> str:
    """The login name, or the number of a user without one, as in a container."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
