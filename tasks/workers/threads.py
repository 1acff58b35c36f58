"""An ordered map over items by threads, for work that releases the GIL: reading, compiled code."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`map(work, items)` on `threads` threads; at most `threads` + 1 items are submitted but not consumed.

    An error in `work` is raised in place of its result.
    """
    pool, wait = ThreadPoolExecutor(threads), True
    try:
        yield from in_order(lambda item: pool.submit(work, item), Future.result, items, threads + 1)
    except KeyboardInterrupt:
        wait = False  # a stage then ends at once
        raise
    finally:
        pool.shutdown(wait, cancel_futures=True)


def in_order(
    submit: Callable[[Item], Any], result: Callable[[Any], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Submit items, at most `ahead` whose results are not consumed, and yield the results in the order of the items."""
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= ahead:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())
