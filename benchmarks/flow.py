"""The overhead of Prefect and DVC: the flow against bare stages, and a second run against DVC alone.

flow           the tests' tiny recipe, whose stages are mostly startup: the worst case
three-minutes  the same with two minutes of training: realistic overhead
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.targets import Target
from flows.temporary import TemporaryServer, free_port
from tests.scratch import STAGES, TINY, command, environment, make_project, write_code

WORK = (*STAGES, "register")
RUN = (sys.executable, "-m", "flows", "run", "tiny")
AGAIN = 5
"""Repetitions of short commands; the fastest counts."""
LONGER = {
    "hidden_size: 32": "hidden_size: 192",
    "intermediate_size: 64": "intermediate_size: 512",
    "steps: 30": "steps: 6000",
    "evaluate_every: 15": "evaluate_every: 2000",
    "checkpoint_every: 10": "checkpoint_every: 2000",
}
"""Changes that make the tiny recipe take about three minutes on two cores."""


@dataclass
class Timeline:
    """The timing of a flow from its log, in seconds."""

    seconds: float = 0.0
    first: float = 0.0
    """From the command to the start of its first stage."""
    inside: float = 0.0
    """Time inside stages and register."""
    gaps: list[float] = field(default_factory=list)
    """From the end of each task to the start of the next stage."""


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure ratios on the tiny recipe."""
    projects, more = warmed_projects(folder)
    with prefect_server(projects["served"], **more) as url:
        on_server = run_flow(projects["served"], PREFECT_API_URL=url, **more)
        again_on_server = seconds(projects["served"], *RUN, PREFECT_API_URL=url, **more)
    stages = run_bare(projects["bare"], **more)
    flowed = projects["flowed"]
    alone = run_flow(flowed, **more)
    pairs = [(seconds(flowed, *RUN, **more), seconds(flowed, "dvc", "repro")) for _ in range(AGAIN)]
    again, dvc = (min(times) for times in zip(*pairs, strict=True))
    yield f"all stages bare                        {stages:7.1f} s    1.00"
    for name, line in (("on a running Prefect server", on_server), ("with a temporary server", alone)):
        yield f"the flow, {name:27}  {line.seconds:7.1f} s  {line.seconds / stages:6.2f} of bare"
        gaps = f"{mean(line.gaps):.1f} s between stages, at most {max(line.gaps):.1f} s"
        gaps += f"; {line.seconds - line.inside:.1f} s outside the stages"
        yield f"  {line.first:.1f} s to its first stage, {gaps}"
    yield f"dvc repro, nothing to do               {dvc:7.2f} s    1.00"
    yield f"gristmill run again                    {again:7.2f} s  {again / dvc:6.2f} of dvc repro"
    yield f"the same, as a flow on a server        {again_on_server:7.2f} s  {again_on_server / dvc:6.2f} of dvc repro"
    yield Target("gristmill run, nothing to do, vs dvc repro", again / dvc, "times", 1.5, most=True)
    yield Target("flow start to first stage", alone.first, "s", 3.5, most=True)
    yield Target("between two stages", max(alone.gaps), "s", 1.5, most=True)


def measure_three_minutes(folder: Path) -> Iterator[str | Target]:
    """Measure a flow of three minutes against the same stages run bare."""
    recipe = folder / "tiny.yaml"
    text = TINY.read_text(encoding="utf-8")
    for short, long in LONGER.items():
        assert short in text
        text = text.replace(short, long)
    recipe.write_text(text, encoding="utf-8")
    projects, more = warmed_projects(folder, {"tiny": recipe})
    with prefect_server(projects["served"], **more) as url:
        on_server = run_flow(projects["served"], PREFECT_API_URL=url, **more)
    stages = run_bare(projects["bare"], **more)
    alone = run_flow(projects["flowed"], **more)
    yield f"all stages bare                        {stages:7.1f} s    1.000"
    for name, line in (("running", on_server), ("temporary", alone)):
        yield f"the flow, with a {name:9} server      {line.seconds:7.1f} s  {line.seconds / stages:7.3f} of bare"
        yield Target(
            f"three minutes as a flow, {name} server, vs bare", line.seconds / stages, "times", 1.03, most=True
        )


def warmed_projects(folder: Path, recipes: dict[str, Path] | None = None) -> tuple[dict[str, Path], dict[str, Any]]:
    """Fresh projects, and environment variables with which they share compiled kernels and Prefect's database."""
    more: dict[str, Any] = {"NUMBA_CACHE_DIR": str(folder / "numba"), "PREFECT_HOME": str(folder / "prefect")}
    warm, *others = (make_project(folder / name, recipes) for name in ("warm", "bare", "served", "flowed"))
    write_code(warm)
    for stage in WORK[: WORK.index("tokenize")]:
        command(warm, sys.executable, "-m", f"tasks.{stage}", "tiny", **more)
    command(warm, "prefect", "server", "database", "upgrade", "-y", **more)
    return {project.name: project for project in others}, more


def run_bare(folder: Path, **more: Any) -> float:
    """Seconds for all stages and register in sequence."""
    write_code(folder)
    return sum(seconds(folder, sys.executable, "-m", f"tasks.{stage}", "tiny", **more) for stage in WORK)


def run_flow(folder: Path, **more: Any) -> Timeline:
    """Time a first run through the flow. Raises AssertionError if it fails."""
    line, started, ended = Timeline(), 0.0, 0.0
    began = time.perf_counter()
    process = subprocess.Popen(
        RUN, cwd=folder, env=environment(folder, PYTHONUNBUFFERED="1", **more), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        now = time.perf_counter() - began
        if "Running stage" in text:
            line.first = line.first or now
            line.gaps += [now - ended] if ended else []
            started = now
        elif started and re.search("(Generating|Updating) lock file", text):
            line.inside, started = line.inside + now - started, 0.0
        elif re.search(r"Task run '.*' - Finished", text):
            line.inside += now - ended if "register@" in text else 0.0
            ended = now
    if process.wait() != 0:
        raise AssertionError("".join(said))
    line.seconds = time.perf_counter() - began
    return line


def seconds(folder: Path, *arguments: str, **more: Any) -> float:
    """Seconds for a command in a project."""
    began = time.perf_counter()
    command(folder, *arguments, **more)
    return time.perf_counter() - began


@contextmanager
def prefect_server(folder: Path, **more: Any) -> Iterator[str]:
    """A Prefect server on loopback; yields its URL."""
    port = free_port()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            cwd=folder,
            env=environment(folder, **more),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            server = TemporaryServer(port, process, said)
            server.wait(120)
            yield server.url
        finally:
            process.terminate()
            process.wait(30)
