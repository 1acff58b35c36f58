"""Ctrl-C, SIGTERM and SIGHUP end a command at once, with a sentence and the exit code of shells, 128 + the signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_COUNTING = threading.Lock()

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end; the text says where it stopped."""

    def __init__(self, number: int = signal.SIGINT, sentence: str = "stopped") -> None:
        super().__init__(sentence)
        self.number = number
        self.exit_code = 128 + number


class _State:
    received: int | None = None
    last: Stopped | None = None
    polled = 0
    in_command = False


@contextmanager
def stoppable(again: bool = False) -> Iterator[None]:
    """Raise Stopped in a block when a signal comes, unless it is ignored (`nohup`, a background job). Main thread only.

    `again`: inside such a block, where a library has set a handler of its own; otherwise without effect.
    """
    if again and not _State.in_command:
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        _State.in_command = True
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _hear)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.in_command = again
        if not again:
            _State.received = _State.last = None  # of this command, not of the next in this process


@contextmanager
def polled() -> Iterator[None]:
    """In this block a first signal waits for `stop_if_asked`, so that it does not break into a library's code.

    Threads may be in such blocks while the main thread is in one.
    """
    with _COUNTING:
        _State.polled += 1
    try:
        stop_if_asked()
        yield
    finally:
        with _COUNTING:
            _State.polled -= 1


def stop_if_asked() -> None:
    """Raise Stopped if a signal has come."""
    if _State.received is not None:
        raise Stopped(_State.received)


def stopped_at(number: int, sentence: str) -> Stopped:
    """A Stopped that tells where a stage stopped, and that `last_stop` finds if it gets lost on its way up."""
    _State.last = Stopped(number, sentence)
    return _State.last


def last_stop() -> Stopped | None:
    """What has stopped the command, if a signal has."""
    return _State.last or (None if _State.received is None else Stopped(_State.received))


def _hear(number: int, _frame: FrameType | None) -> None:
    first = _State.received is None
    _State.received = number
    if not (_State.polled and first):
        raise Stopped(number)
