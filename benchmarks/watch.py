"""Runs a stage in its own process and measures its time and the memory of all its processes."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.scratch import environment, write_code

EVERY = 0.1
"""Seconds between memory samples."""


@dataclass(frozen=True)
class Watched:
    """Time and peak memory of a stage."""

    seconds: float
    peak: int
    """Peak of the summed PSS of the stage's processes, in bytes."""


def run_stage(project: Path, stage: str, recipe: str, **more: str) -> Watched:
    """Run `python -m tasks.STAGE RECIPE` in a project. Raises AssertionError with its output if it fails."""
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
