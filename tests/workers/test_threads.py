import signal
import subprocess
import sys
import threading
import time

import pytest

from tasks.workers.threads import in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_at_most_one_waits(threads: int) -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.01 * (number % 3))
        return number * number

    for place, result in enumerate(in_threads(work, range(20), threads)):
        assert result == place * place
        assert len(begun) <= place + threads + 1
    assert sorted(begun) == list(range(20))


def test_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)
    assert sorted(in_threads(lambda _: both.wait(), range(2), 2)) == [0, 1]


def test_an_error_comes_in_its_place_and_ends_it() -> None:
    results = in_threads(lambda number: 6 // (3 - number), range(100), 2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_nothing_is_begun_any_more_where_nobody_asks() -> None:
    begun: list[int] = []
    results = in_threads(begun.append, range(100), 2)
    next(results)
    results.close()
    assert len(begun) <= 4


INTERRUPTED = """
import os, signal, threading
from tasks.workers.threads import in_threads

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
begun = threading.Event()
threading.Thread(target=lambda: begun.wait() and print("begun", flush=True)).start()
try:
    list(in_threads(lambda _: begun.set() or threading.Event().wait(600), range(4), 2))
except KeyboardInterrupt:
    print("stopped", flush=True)
    os._exit(0)
"""


def test_ctrl_c_waits_for_no_thread() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=60)[0] == "stopped\n"
        finally:
            process.kill()
