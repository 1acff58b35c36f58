"""Progress of a long loop: a bar on a terminal, periodic plain lines elsewhere (a log, a flow, CI)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.stage.runtime import seconds_per_line

EVERY = 5
"""Seconds between plain lines, unless GRISTMILL_PROGRESS says otherwise."""


def duration(seconds: float) -> str:
    """A time for people: `56.8 s`, `7 min 07 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Counts finished units; `advance` costs next to nothing."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._began = self._told = time.monotonic()
        self._every = seconds_per_line() or EVERY
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=label, total=total, unit=f" {unit}", unit_scale=True, leave=False)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as finished; `note` appears after the count (a loss, for example)."""
        self.done += amount
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(amount)
        elif (now := time.monotonic()) - self._told >= self._every:
            self._told = now
            self._line(now, note)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, now: float, note: str) -> None:
        share = f"/{self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        rate = self.done / (now - self._began)
        left = f"{duration(round((self.total - self.done) / rate))} left" if self.total and rate else ""
        text = ", ".join(filter(None, (f"{self.done:,}{share} {self.unit}", f"{rate:,.3g}/s", note, left)))
        print(f"{self.label}: {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Progress]:
    """A `Progress` for the duration of a block."""
    shown = Progress(label, total, unit)
    try:
        yield shown
    except KeyboardInterrupt as stop:
        stop.add_note(f"at {shown.done:,}{f' of {total:,}' if total else ''} {unit}")
        raise
    finally:
        shown.close()
