"""A parallel map over items; results come in the order of the items.

It runs on processes of this machine, or on a Ray or Dask cluster if GRISTMILL_ENGINE names one (`clusters`), with the
same results. A killed worker is replaced, and its unfinished work is redone.

Ctrl-C reaches the whole process group of a terminal. Only this process heeds it and ends its workers.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process, resource_tracker
from typing import TypeVar

from tasks.stage.errors import GristmillError
from tasks.stage.parent import end_with_parent
from tasks.stage.runtime import engine, workers
from tasks.workers.threads import in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items per process that are running or waiting to be consumed; bounds memory."""

DEATHS = 3
"""Killed workers without a new result in between after which the item is to blame."""

WORTH_A_PROCESS = 48 << 20
"""Bytes of a corpus below which one process finishes before a second one has started."""

WARNINGS, TRACKER_QUIET = "PYTHONWARNINGS", "ignore:resource_tracker"

NO_MORE = object()


def processes_worth(size: int, items: int) -> int:
    """How many processes to use for `size` bytes of a corpus in `items` items."""
    return min(workers(), items) if size >= WORTH_A_PROCESS else 1


def parallel_map(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int, threads: bool = False
) -> Iterator[Result]:
    """`map(work, items)` on `processes` processes if more than one; `work` is a module-level function.

    `threads`: `work` releases the GIL, so threads of this process do as well, without the start-up time.

    Raises GristmillError if worker processes keep being killed.
    """
    kind, address = engine()
    if kind == "processes":
        if processes <= 1:
            yield from map(work, items)
        else:
            yield from (in_threads if threads else _by_processes)(work, iter(items), processes)
        return
    from tasks.workers.clusters import CLUSTERS

    yield from CLUSTERS[kind](work, items, address)


def _by_processes(work: Callable[[Item], Result], items: Iterator[Item], processes: int) -> Iterator[Result]:
    pool = _pool(processes)
    waiting: deque[tuple[Item, Future[Result] | None]] = deque()
    deaths = 0
    try:
        while True:
            try:
                while len(waiting) < AHEAD * processes and (item := next(items, NO_MORE)) is not NO_MORE:
                    waiting.append((item, None))  # type: ignore[arg-type]  # not the sentinel
                for place, (item, future) in enumerate(waiting):
                    if future is None:
                        with _interrupts_held():
                            waiting[place] = item, pool.submit(work, item)
                if not waiting:
                    return
                first = waiting[0][1]
                assert first is not None
                result = first.result()
            except BrokenProcessPool as error:
                deaths += 1
                if deaths == DEATHS:
                    raise GristmillError(
                        f"a worker process was killed {DEATHS} times on the same item, probably out of memory; "
                        "use fewer workers: GRISTMILL_WORKERS=1"
                    ) from error
                pool.shutdown(cancel_futures=True)
                pool = _pool(processes)
                waiting = deque((item, future if _has_result(future) else None) for item, future in waiting)
            else:
                waiting.popleft()
                deaths = 0
                yield result
    except KeyboardInterrupt:
        for worker in active_children():
            worker.kill()  # its item may take minutes, and outputs are renamed into place
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    _start_tracker()
    # spawn: a fork would copy the locks of pyarrow's threads
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_tie)


def _tie() -> None:
    """End this worker with the process that started it, even one that is killed."""
    end_with_parent()
    starter = parent_process()
    if starter is None or not starter.is_alive():  # it ended before anything watched it
        os._exit(1)


def _start_tracker() -> None:
    """Start the process that removes the semaphores of a killed process, without a word about them. Started together
    with the first worker it would lift the mask of `_interrupts_held`."""
    before = os.environ.get(WARNINGS)
    os.environ[WARNINGS] = f"{before},{TRACKER_QUIET}" if before else TRACKER_QUIET
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ[WARNINGS]
        if before:
            os.environ[WARNINGS] = before


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that never get SIGINT: they inherit the mask of signals. One for this process comes later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _has_result(future: "Future[Result] | None") -> bool:
    return future is not None and future.done() and not future.cancelled() and future.exception() is None
