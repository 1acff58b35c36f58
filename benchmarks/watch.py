"""A stage as a process of its own: how long it takes, and how much memory all its processes need together."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.scratch import environment, write_code

EVERY = 0.1
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Watched:
    """What a stage needed."""

    seconds: float
    peak: int
    """Bytes: the sum of the proportional set sizes of the stage's processes, where it was largest."""


def run_stage(project: Path, stage: str, recipe: str, **more: str) -> Watched:
    """`python -m tasks.STAGE RECIPE` in a project. Raises AssertionError with its words where it fails."""
    write_code(project)
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", f"tasks.{stage}", recipe],
        cwd=project, env=environment(project, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        peak, over = [0], threading.Event()
        watcher = threading.Thread(target=_look, args=(psutil.Process(process.pid), peak, over))
        watcher.start()
        said, _ = process.communicate()
        over.set()
        watcher.join()
    if process.returncode:
        raise AssertionError(f"{stage} ended with {process.returncode}\n{said}")
    return Watched(time.perf_counter() - began, peak[0])


def _look(process: psutil.Process, peak: list[int], over: threading.Event) -> None:
    while not over.wait(EVERY):
        total = 0
        try:
            for one in [process, *process.children(recursive=True)]:
                total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        peak[0] = max(peak[0], total)
