"""However a run ends, it leaves no process behind, and the next run finds a clean state."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.launch import TookTooLong, launch
from flows.runner import StageFailed
from flows.stop import Stopped, stoppable
from tests.flows.conftest import attempts, changed, edit


def _wait_for(what: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _pids(path: str = "pids.txt") -> list[int]:
    _wait_for(lambda: Path(path).exists() and len(Path(path).read_text().split()) == 3)
    return [int(word) for word in Path(path).read_text().split()]


@pytest.fixture
def hanging(ran_toy) -> None:
    """The second stage is stale and will hang."""
    edit()
    Path("behave/second").write_text("hang")


def _last_flow_run() -> Any:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def _when_hanging(act: Callable[[list[int]], None]) -> None:
    """Once the stage hangs, call a function in a thread with the process ids of DVC, the stage and its child."""
    threading.Thread(target=lambda: act(_pids()), daemon=True).start()


def _next_run_succeeds(run_flow) -> None:
    Path("behave/second").unlink()
    assert [row.happened for row in run_flow("toy").rows] == ["unchanged", "ran"]
    assert changed("toy") == []
    assert Path("data/toy/second/text.txt").read_text() == "one three"


def test_time_out_ends_the_whole_group_and_keeps_the_last_good_outputs(hanging, run_flow, monkeypatch):
    monkeypatch.setenv("GRISTMILL_TIMEOUT_SECOND", "10")
    with pytest.raises(StageFailed, match=r"second@toy: timed out after 10 s .*GRISTMILL_TIMEOUT_SECOND"):
        run_flow("toy")
    assert attempts() in (["second"], [])  # a busy machine may time out before the stage starts
    assert attempts() == [] or not any(map(_lives, _pids()))
    assert Path("data/toy/second/text.txt").read_text() == "one two"


def test_ctrl_c_ends_the_whole_group_and_keeps_the_last_good_outputs(hanging, run_flow):
    _when_hanging(lambda _: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            run_flow("toy")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(map(_lives, _pids()))
    assert Path("data/toy/second/text.txt").read_text() == "one two"


COMMAND = """
import click, flows.progress
flows.progress.SILENCE = 0.5
from flows.cli.main import _Commands
from flows.pipeline import run
click.Group.invoke = lambda self, context: run("toy")
_Commands("gristmill").main(["run"])
"""


def _command(environment: dict[str, str]) -> subprocess.Popen[str]:
    """The flow as `gristmill run` runs it, in a process that heeds Ctrl-C (a background job of a shell does not)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND], env={**os.environ, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def _end(command: subprocess.Popen[str]) -> tuple[int, list[str], float]:
    """Its exit code, what it printed, and how long it took to end."""
    began = time.monotonic()
    said = command.communicate(timeout=100)[0]
    return command.returncode, said.splitlines(), time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_command_with_a_sentence_and_no_trace_in_prefect_or_dvc(hanging, prefect_api, number):
    command = _command({"PREFECT_API_URL": prefect_api})
    started = _pids()
    command.send_signal(number)
    code, said, took = _end(command)
    assert (code, said[-1]) == (128 + number, "second@toy: stopped; the next run starts this stage again")
    assert not any(map(_lives, started))
    assert not any("Crash" in line or "Traceback" in line for line in said)
    assert Path(".dvc/tmp/rwlock").read_text() == "{}"  # DVC warns about locks of the killed
    assert _last_flow_run().state.name == "Cancelled"
    assert took < 15


@pytest.mark.parametrize("lost", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["there", "lost"])
def test_it_ends_at_once_on_a_temporary_server(hanging, lost):
    command = _command({"PREFECT_API_URL": "", "PREFECT_HOME": str(Path("home").absolute())})
    started = _pids()
    time.sleep(2)  # longer than SILENCE
    if lost:
        psutil.Process(command.pid).children()[0].kill()
    command.send_signal(signal.SIGINT)
    code, said, took = _end(command)
    assert not any(map(_lives, started))
    assert not any("Crash" in line or "Traceback" in line for line in said)
    assert (code, said[-1]) == (130, "second@toy: stopped; the next run starts this stage again")
    assert any("still running" in line for line in said)
    assert not any("Starting temporary server" in line for line in said)  # Prefect's own, beside ours
    assert took < 50  # 79 s when the log worker asked a server that was gone


def test_an_output_that_nobody_reads_ends_the_run_as_a_closed_terminal_does(hanging, prefect_api, run_flow):
    command = _command({"PREFECT_API_URL": prefect_api})
    started = _pids()
    assert command.stdout is not None
    command.stdout.close()
    assert command.wait(60) == 128 + signal.SIGHUP
    assert not any(map(_lives, started))
    assert _last_flow_run().state.name == "Cancelled"
    assert not any(json.loads(Path(".dvc/tmp/rwlock").read_text()).values())
    _next_run_succeeds(run_flow)


def test_a_flow_run_that_was_killed_is_ended_by_the_next(hanging, prefect_api, run_flow):
    command = _command({"PREFECT_API_URL": prefect_api})
    _pids()
    command.kill()
    _end(command)
    killed = _last_flow_run()
    assert killed.state.name == "Running"
    _next_run_succeeds(run_flow)
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_flow_run(killed.id)
    assert found.state.name == "Crashed" and "killed" in found.state.message


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_flow_ends_everything_and_the_next_run_succeeds(hanging, prefect_api, run_flow, kill):
    program = [sys.executable, "-c", "from flows.pipeline import run; run('toy')"]
    flow = subprocess.Popen(program, env={**os.environ, "PREFECT_API_URL": prefect_api})
    started = _pids()
    flow.send_signal(kill)
    flow.wait(60)
    assert flow.returncode == -kill
    _wait_for(lambda: not any(map(_lives, started)), 10)
    _next_run_succeeds(run_flow)


@pytest.mark.parametrize("victim", [0, 1], ids=["dvc", "stage"])
def test_kill_of_dvc_or_a_stage_fails_the_flow_and_leaves_nothing(hanging, run_flow, victim):
    _when_hanging(lambda started: os.kill(started[victim], signal.SIGKILL))
    with pytest.raises(StageFailed, match="second@toy: was killed by SIGKILL"):
        run_flow("toy")
    assert not any(map(_lives, _pids()))
    assert Path("data/toy/second/text.txt").read_text() == "one two"
    _next_run_succeeds(run_flow)


def test_lines_come_whole_and_the_last_word_is_not_lost(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("speaks.py").write_text(
        "import sys; print('one'); print('two', file=sys.stderr); print('é\\rü'); sys.stdout.write('end'); sys.exit(3)"
    )
    lines: list[str] = []
    assert launch("speaks", [], lines.append) == 3
    assert sorted(lines) == sorted(["one", "two", "é", "ü", "end"])
    assert capfd.readouterr().out == ""


def test_a_stopped_command_stops_nothing_after_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("speaks.py").write_text("print('one')")
    with pytest.raises(Stopped), stoppable():
        signal.raise_signal(signal.SIGTERM)
    lines: list[str] = []
    assert launch("speaks", [], lines.append) == 0 and lines == ["one"]


def test_program_left_behind_does_not_hold_up_its_launcher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("leaves.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)\n"
    )
    lines: list[str] = []
    assert launch("leaves", [], lines.append, timeout=60) == 0
    _wait_for(lambda: not _lives(int(lines[0])), 5)


def test_time_out_holds_for_a_program_that_never_stops_talking_or_ignores_sigint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.launch.GRACE", 0.2)
    Path("talks.py").write_text(
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(os.getpid(), child.pid)\n"
        "while True: print('talk ' * 100)\n"
    )
    lines: list[str] = []
    with pytest.raises(TookTooLong):
        launch("talks", [], lambda line: lines.append(line) if len(lines) < 1 else None, timeout=5)
    _wait_for(lambda: not any(_lives(int(word)) for word in lines[0].split()), 5)  # dying takes a moment


def test_program_ends_when_its_starter_ended_before_it_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("says.py").write_text("print('I live')")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run([sys.executable, "-m", "flows.child", str(gone.pid), "says"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
