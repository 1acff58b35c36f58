"""What a command shows while stages work: a bar on a terminal, in a log a line whenever a stage is silent for long."""

import io
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import IO, TYPE_CHECKING

from tasks.stage.progress import duration

if TYPE_CHECKING:
    from rich.progress import Progress

SILENCE = 15.0
"""Seconds without a line after which a log says that a stage still runs."""

LINE = re.compile(r"[\w ]+: ([\d,]+)(?:/([\d,]+) \(\d+%\))? ([\w ]+, [\d.,e+]+/s.*)")
"""A line of `tasks.stage.progress`: finished units, the total if it is known, the rest."""

_BAR: "ContextVar[Progress | None]" = ContextVar("bar", default=None)


@contextmanager
def bar_on_terminal() -> Iterator[None]:
    """Show a bar below all output for the length of a block, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn()
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, markup=False, highlight=False),
        transient=True,
        refresh_per_second=4,
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        bar.add_task("checking", total=None, note="")
        token = _BAR.set(bar)
        try:
            yield
        finally:
            _BAR.reset(token)


class AboveBar(io.StringIO):
    """A stream to the terminal, for consoles of rich: what they print goes above the bar."""

    def __init__(self, bar: "Progress") -> None:
        super().__init__()
        self._bar = bar

    def isatty(self) -> bool:
        """The bar is on a terminal."""
        return True

    def write(self, text: str) -> int:
        """Print whole lines above the bar, in their colours."""
        from rich.text import Text

        self._bar.console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)
        return len(text)


def stream_above_bar(stream: IO[str]) -> IO[str]:
    """Where a console of rich prints: above the bar, or to `stream` without one."""
    bar = _BAR.get()
    return stream if bar is None else AboveBar(bar)


def describe(text: str) -> None:
    """What the bar says; nothing without one."""
    if (bar := _BAR.get()) is not None:
        (task,) = bar.task_ids
        bar.reset(task, total=None, description=text, note="")


@contextmanager
def working(label: str, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Show a stage at work; yields the function that takes its lines, and passes them to `say`.

    The bar takes lines of progress for itself. Without a bar, `say` also gets a line after each `SILENCE`.
    """
    bar = _BAR.get()
    if bar is not None:
        describe(label)
        (task,) = bar.task_ids

        def move(line: str) -> None:
            if found := LINE.fullmatch(line):
                done, total = (
                    None if number is None else int(number.replace(",", "")) for number in found.groups()[:2]
                )
                bar.update(task, completed=done, total=total, note=found[3])
            else:
                say(line)

        yield move
        return
    say(label)
    began = last = time.monotonic()
    ended = threading.Event()

    def hear(line: str) -> None:
        nonlocal last
        last = time.monotonic()
        say(line)

    def watch() -> None:
        while not ended.wait(max(0.01, last + SILENCE - time.monotonic())):
            if time.monotonic() - last >= SILENCE:
                hear(f"{label}: still running after {duration(time.monotonic() - began)}")

    # With our context: Prefect's log would start a server of its own for a thread that does not know ours.
    thread = threading.Thread(target=copy_context().run, args=(watch,), name="silence", daemon=True)
    thread.start()
    try:
        yield hear
    finally:
        ended.set()
        thread.join()


def seconds_between_lines() -> dict[str, str]:
    """The environment of a stage whose lines move a bar."""
    return {} if _BAR.get() is None else {"GRISTMILL_PROGRESS": "1"}
