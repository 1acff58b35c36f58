"""A function mapped over items side by side; results come in the order of the items, whoever is faster.

By processes of this machine, or by a cluster of Ray or Dask where GRISTMILL_ENGINE names one (`clusters`). What comes
out is the same. A worker that is killed is replaced, and what it had not finished is done again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from tasks.stage.errors import GristmillError
from tasks.stage.parent import end_with_parent
from tasks.stage.runtime import engine, workers
from tasks.workers.threads import in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items per process that are under way or wait to be asked for, so that memory stays bounded."""

DEATHS = 3
"""How often a worker may be killed before the next result has come: then it is the item that kills it."""

WORTH_A_PROCESS = 48 << 20
"""Bytes of a corpus below which one process is done before a second one has started."""

NO_MORE = object()


def processes_worth(size: int, items: int) -> int:
    """How many processes to spread the work on so many bytes of a corpus over, in so many items."""
    return min(workers(), items) if size >= WORTH_A_PROCESS else 1


def parallel_map(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int, threads: bool = False
) -> Iterator[Result]:
    """`map(work, items)`, by `processes` processes where there is more than one; `work` is a function of a module.

    `threads`: it lets go of Python's lock, so that threads of this process do as well, which need not start first.

    Raises GristmillError where a process is killed from outside again and again.
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
                    waiting.append((item, None))  # type: ignore[arg-type]  # it is no sentinel
                for place, (item, future) in enumerate(waiting):
                    if future is None:
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
                        f"a worker process was killed {DEATHS} times at the same work, probably for want of memory; "
                        "try fewer with GRISTMILL_WORKERS=1"
                    ) from error
                pool.shutdown(cancel_futures=True)
                pool = _pool(processes)
                waiting = deque((item, future if _has_result(future) else None) for item, future in waiting)
            else:
                waiting.popleft()
                deaths = 0
                yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    # spawn: a fork would copy the locks of pyarrow's threads. Each child ends with this process, even a killed one.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent)


def _has_result(future: "Future[Result] | None") -> bool:
    return future is not None and future.done() and not future.cancelled() and future.exception() is None
