import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tasks.stage.errors import DataError, GristmillError
from tasks.workers.parallel_map import parallel_map
from tests.clusters import DASK_ALONE, DASK_THAT_GROWS, RAY_ALONE, serving
from tests.scratch import ROOT


def slow_square(number: int) -> int:
    time.sleep(0.02 * (number % 3 == 0))
    return number * number


def killed_once(folder: Path, number: int) -> int:
    """The first worker that gets 7 is killed, as by the kernel when memory runs out."""
    (folder / f"{number} {time.monotonic_ns()}").touch()
    if number == 7 and len(list(folder.glob("7 *"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refused(number: int) -> int:
    if number == 2:
        raise DataError("number 2 is damaged")
    return number


def test_results_come_in_the_order_of_the_items(engine: str) -> None:
    assert list(parallel_map(slow_square, range(20), 2)) == [n * n for n in range(20)]
    assert list(parallel_map(slow_square, [], 2)) == []


def test_what_a_killed_worker_had_not_finished_is_done_again(engine: str, tmp_path: Path) -> None:
    assert list(parallel_map(partial(killed_once, tmp_path), range(20), 2)) == [n * n for n in range(20)]
    times = [len(list(tmp_path.glob(f"{n} *"))) for n in range(20)]
    assert times[7] == 2 and times[:4] == [1] * 4 and sum(times) <= 20 + 4  # only the unfinished items


def test_an_error_of_the_work_is_the_error(engine: str) -> None:
    with pytest.raises(DataError, match="number 2 is damaged"):
        list(parallel_map(refused, range(6), 2))


def test_paths_are_those_of_the_project(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(parallel_map(os.path.abspath, "abcd", 2)) == [str(tmp_path / name) for name in "abcd"]


def process_and_number(number: int) -> tuple[int, int]:
    return os.getpid(), number


def test_threads_stand_in_for_processes_and_not_for_a_cluster(engine: str) -> None:
    found = list(parallel_map(process_and_number, range(8), 2, threads=True))
    assert [number for _, number in found] == list(range(8))
    assert ({process for process, _ in found} == {os.getpid()}) == (engine == "processes")


def test_work_that_kills_every_worker_is_told() -> None:
    with pytest.raises(GristmillError, match="killed 3 times on the same item, probably out of memory"):
        list(parallel_map(always_killed, range(8), 2))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("spark", "GRISTMILL_ENGINE: 'spark' is not one of processes, ray, ray:ADDRESS, dask:ADDRESS"),
        ("dask", "GRISTMILL_ENGINE: 'dask' is not one of"),
        ("dask:tcp://127.0.0.1:9", "GRISTMILL_ENGINE: no Dask scheduler at tcp://127.0.0.1:9"),
        ("ray:127.0.0.1:9", "GRISTMILL_ENGINE: no Ray cluster at 127.0.0.1:9"),
        ("ray:here", "GRISTMILL_ENGINE: no Ray cluster at here"),
    ],
)
def test_an_engine_that_is_not_there_is_told(wanted: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_ENGINE", wanted)
    monkeypatch.setattr("tasks.workers.clusters.CONNECT", 1.0)
    with pytest.raises(GristmillError) as raised:
        list(parallel_map(slow_square, range(3), 2))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "start", "name"), [("dask", DASK_ALONE, "Dask"), ("ray", RAY_ALONE, "Ray")], ids=["dask", "ray"]
)
def test_a_cluster_without_workers_is_told(
    kind: str, start: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.workers.clusters.FIRST_WORKER", 1.0)
    with serving(start, tmp_path) as address:
        monkeypatch.setenv("GRISTMILL_ENGINE", f"{kind}:{address}")
        with pytest.raises(GristmillError) as raised:
            list(parallel_map(slow_square, range(3), 2))
    assert str(raised.value) == (
        f"GRISTMILL_ENGINE: the {name} cluster at {address} has no workers, and none joined within 1 s"
    )


def test_a_cluster_that_starts_its_workers_for_the_work_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(DASK_THAT_GROWS, tmp_path) as address:
        monkeypatch.setenv("GRISTMILL_ENGINE", f"dask:{address}")
        assert list(parallel_map(slow_square, range(8), 2)) == [n * n for n in range(8)]


def test_a_library_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_ENGINE", "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(GristmillError, match=r"ray is not installed: pip install 'gristmill\[ray\]'"):
        list(parallel_map(slow_square, range(3), 2))


def sleeps(folder: Path, number: int) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


STARTS_WORKERS = """
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tasks.workers.parallel_map import parallel_map
from tests.workers.test_parallel_map import sleeps
if __name__ == "__main__":
    print("begun", flush=True)
    try:
        list(parallel_map(partial(sleeps, Path(sys.argv[1])), range(8), 2))
    except KeyboardInterrupt:
        sys.exit("stopped")
"""


@pytest.mark.parametrize("early", [True, False], ids=["while they start", "while they work"])
@pytest.mark.parametrize(
    ("sent", "to_group", "said"),
    [
        (signal.SIGINT, True, "stopped\n"),
        (signal.SIGTERM, True, ""),
        (signal.SIGTERM, False, ""),
        (signal.SIGKILL, False, ""),
    ],
)
def test_workers_end_with_their_parent_without_a_word(
    tmp_path: Path, sent: signal.Signals, to_group: bool, said: str, early: bool
) -> None:
    script, seen = tmp_path / "starts.py", tmp_path / "seen"
    script.write_text(STARTS_WORKERS, encoding="utf-8")
    seen.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(seen)], start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdout.readline() == "begun\n"
    wait_until(lambda: len(members(parent.pid)) >= 4 if early else len(list(seen.iterdir())) == 2)
    time.sleep(0.1 * early)  # the parent has sent them their work, and they import its modules
    began = time.monotonic()
    os.killpg(parent.pid, sent) if to_group else os.kill(parent.pid, sent)
    _, errors = parent.communicate(timeout=30)  # workers hold the other end, too
    assert errors == said and time.monotonic() - began < 20
    wait_until(lambda: not members(parent.pid))


def members(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = place.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(place.parent.name))
    return found


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
