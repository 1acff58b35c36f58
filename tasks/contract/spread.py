"""A function mapped over items by several processes; results come in the order of the items, whoever is faster."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from tasks.contract.errors import GristmillError
from tasks.contract.lifeline import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items per process that are under way or wait to be asked for, so that memory stays bounded."""


def spread(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """`map(work, items)`, by `processes` processes where there is more than one; `work` is a function of a module.

    Raises GristmillError where a process is killed from outside.
    """
    if processes <= 1:
        yield from map(work, items)
        return
    # spawn: a fork would copy the locks of pyarrow's threads. Each child ends with this process, even a killed one.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise GristmillError(
            "a worker process was killed, probably for want of memory; try fewer with GRISTMILL_WORKERS=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
