"""Runs a program in its own process group, streams its output by lines, and leaves no process behind.

However `launch` ends (program exit, timeout, Ctrl-C, SIGTERM, an error), it ends the whole group before it returns:
first with SIGINT, on which a stage says how far it came and DVC releases its locks, then with SIGKILL. If this process
is killed outright, the program ends with it (`flows.child`).
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from flows.stop import polled, stop_if_asked
from tasks.stage.errors import GristmillError
from tasks.stage.redact import redact

GRACE = 10.0
"""Seconds from SIGINT to SIGKILL."""

THEIRS: dict[str, str] = {}
"""Variables that this process has changed for itself only: programs see these values."""

LONGEST_LINE = 8_192
"""Bytes kept of a line; the rest is dropped."""


class TookTooLong(GristmillError):
    """The program timed out and was killed with its group."""


def launch(
    module: str,
    arguments: Sequence[str],
    say: Callable[[str], None],
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run `python -m MODULE ARGUMENTS…`, pass each output line to `say`, and return the exit code.

    A negative exit code is the signal that ended the program; `timeout` is in seconds; `folder` is its working
    directory (default: this one); `watch` is called several times a second, and what it raises ends the program. Call
    it in the main thread, or while the main thread is `polled`, so that signals reach it. Raises TookTooLong.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "flows.child", str(os.getpid()), module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=folder,
        env=_environment(environment or {}),
    ) as process:
        try:
            with polled():
                for line in _lines(process, timeout, watch):
                    say(line)
        finally:
            _end_group(process)
    return process.returncode


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Our environment with this interpreter first on PATH, so that `python` in dvc.yaml is the same one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, **THEIRS, "PATH": path, "PYTHONUNBUFFERED": "1", **more}


def _lines(process: subprocess.Popen[bytes], timeout: float | None, watch: Callable[[], None]) -> Iterator[str]:
    """The lines of a process until it ends, including an unfinished last one. Raises TookTooLong."""
    assert process.stdout is not None
    deadline = None if timeout is None else time.monotonic() + timeout
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        ended = closed = False
        while not (ended or closed):
            stop_if_asked()
            watch()
            # Check the process itself: a child that it left behind may hold the pipe open.
            ended = _has_ended(process)
            ready = selector.select(0 if ended else 0.2)
            while ready and (chunk := _read(pipe)) is not None:
                closed = chunk == b""
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                yield from (_text(line) for line in lines if line.strip())
                rest = rest[:LONGEST_LINE]
                if closed or not ended:
                    break
            if deadline is not None and time.monotonic() > deadline and not ended:
                raise TookTooLong(f"timed out after {timeout:g} s")
    if rest.strip():
        yield _text(rest)
    while not _has_ended(process):
        stop_if_asked()
        if deadline is not None and time.monotonic() > deadline:
            raise TookTooLong(f"timed out after {timeout:g} s")
        time.sleep(0.02)


def _read(pipe: int) -> bytes | None:
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return None


def _text(line: bytes) -> str:
    return redact(line[:LONGEST_LINE].decode("utf-8", "replace").rstrip())


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended. It is not reaped yet, so that its process and group ids cannot be reused."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group and reap the process; if it still runs, send SIGINT first."""
    try:
        if not _has_ended(process):
            os.killpg(process.pid, signal.SIGINT)
            patience = time.monotonic() + GRACE
            while not _has_ended(process) and time.monotonic() < patience:
                if process.stdout is not None:
                    _read(process.stdout.fileno())  # nobody listens any more, but a full pipe would block it
                time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
