"""Progress of a long loop: a bar on a terminal, periodic plain lines elsewhere (a log, a flow, CI)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 5.0
"""Seconds between plain lines."""


class Progress:
    """Counts finished units; `advance` costs next to nothing."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._began = self._told = time.monotonic()
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
        elif (now := time.monotonic()) - self._told >= EVERY:
            self._told = now
            self._line(now, note)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, now: float, note: str) -> None:
        share = f"/{self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        rate = self.done / (now - self._began)
        text = f"{self.label}: {self.done:,}{share} {self.unit}, {rate:,.3g}/s{', ' + note if note else ''}"
        print(text, file=sys.stderr, flush=True)


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
