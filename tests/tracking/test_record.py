import getpass
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.tracking import record as room
from tasks.tracking.client import ENDED, LONGEST_VALUE, flatten
from tasks.tracking.dead import is_dead, place
from tasks.tracking.record import LiveRecord, journal_path
from tests.register import empty_database
from tests.scratch import ROOT, environment

IDENTITY = "1d" * 32


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(room, "BEGIN_SECONDS", 0)
    monkeypatch.setattr(room, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.1)
    return tmp_path


def train(first: int, last: int, failed: bool = False) -> None:
    record = LiveRecord.open("tiny", IDENTITY, {"train": {"steps": 9, "rules": ["a", "b"]}})
    for step in range(first, last + 1):
        record.log(step, {"loss": 10.0 - step})
    record.close(failed)


def runs() -> list:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("tiny")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What was said, but for whether the run can be rebuilt; see `test_provenance`."""
    return [line for line in capfd.readouterr().err.splitlines() if not line.startswith("record: this run can")]


def steps() -> list[int]:
    (run,) = runs()
    return sorted(point.step for point in MlflowClient().get_metric_history(run.info.run_id, "loss"))


def test_a_training_is_one_run_with_its_settings_and_surroundings(project):
    train(1, 3)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.steps": "9", "train.rules": '["a", "b"]'}
    assert run.data.tags["gristmill.identity"] == IDENTITY
    assert run.data.tags["gristmill.torch"]
    assert int(run.data.tags["gristmill.cores"]) > 0
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert steps() == [1, 2, 3]


def test_the_same_training_again_finds_its_run_and_logs_nothing_twice(project):
    train(1, 4, failed=True)
    assert runs()[0].info.status == "FAILED"
    train(3, 6)
    assert runs()[0].info.status == "FINISHED"
    train(1, 6)
    assert steps() == [1, 2, 3, 4, 5, 6]


def test_a_server_that_is_away_costs_one_line_and_the_points_come_later(project, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    train(1, 3)
    (told,) = lines(capfd)
    assert "127.0.0.1:9" in told and "gristmill run tiny" in told
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    train(2, 5)
    assert steps() == [1, 2, 3, 4, 5]


def test_a_store_lost_in_the_middle_costs_one_line_and_gets_the_points_when_it_is_back(project, monkeypatch, capfd):
    record = LiveRecord.open("tiny", IDENTITY, {})
    record.log(1, {"loss": 9.0})
    wait_for(lambda: runs() and runs()[0].data.metrics.get("loss") == 9.0)
    (project / "mlflow.db").rename(project / "away.db")
    (project / "mlflow.db").mkdir()  # a new connection cannot open it
    for step in (2, 3):
        before = time.monotonic()
        record.log(step, {"loss": 10.0 - step})
        assert time.monotonic() - before < 1
    wait_for(lambda: record._warned)
    (project / "mlflow.db").rmdir()
    (project / "away.db").rename(project / "mlflow.db")
    record.close()
    assert steps() == [1, 2, 3]
    assert sum(line.startswith("record: ") for line in lines(capfd)) == 1


@contextmanager
def another_process(identity: str) -> Iterator[None]:
    """A training of the recipe in another process, at work until the end of the block, then killed."""
    code = f"""
import time
from tasks.tracking import record as room
room.FLUSH_SECONDS = 0.1
record = room.LiveRecord.open("tiny", {identity!r}, {{}})
for step in range(1, 4):
    record.log(step, {{"loss": 10.0 - step}})
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(ROOT))
    try:
        wait_for(lambda: any(run.data.metrics.get("loss") == 7.0 for run in runs()))
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_training_whose_recipe_changed_is_ended_with_the_reason_and_a_live_one_is_not(project):
    other = "2e" * 32
    with another_process(other):
        train(1, 2)
        assert sorted(run.info.status for run in runs()) == ["FINISHED", "RUNNING"]
        assert not is_dead("tiny", other, None)
    assert is_dead("tiny", other, None)
    train(1, 2)
    (ended,) = [run for run in runs() if run.info.status == "KILLED"]
    assert ended.data.tags["gristmill.identity"] == other and "killed" in ended.data.tags[ENDED]


def test_a_training_of_another_project_on_the_same_server_is_left_alone(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert not is_dead("tiny", IDENTITY, "elsewhere:/project") and not is_dead("tiny", IDENTITY, None)
    assert is_dead("tiny", IDENTITY, place())


def test_a_killed_training_stays_running_and_is_continued(project):
    with another_process(IDENTITY):
        assert steps() == [1, 2, 3]
    assert runs()[0].info.status == "RUNNING"
    damaged = ("[]", "7", '{"tags": 1}', '{"metricz": {}}', '{"metrics": {"loss": "x"}, "step": 5, "time": 1}')
    with journal_path("tiny", IDENTITY).open("a") as file:
        file.write("\n".join(["", *damaged, '{"step": 4, "ti']))  # as after a fault of the disk, and a crash
    train(3, 6)
    assert runs()[0].info.status == "FINISHED"
    assert steps() == [1, 2, 3, 4, 5, 6]


def test_parameters_are_flat_and_short():
    flat = flatten({"a": {"b": 1, "c": {"d": [1.5, None]}}, "long": "x" * 9000, "strange#key": True})
    assert flat["a.b"] == "1"
    assert json.loads(flat["a.c.d"]) == [1.5, None]
    assert len(flat["long"]) <= LONGEST_VALUE
    assert flat["long"] != flatten({"long": "x" * 9001})["long"]
    assert flat["strange_key"] == "true"


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_training_whose_provenance_cannot_be_written_stops_at_its_next_point(project):
    """As on a full disk. It is written in a thread, and must not be missing at the end of a long training."""
    journal_path("tiny", IDENTITY).parent.mkdir(parents=True)
    (journal_path("tiny", IDENTITY).parent / "provenance").write_text("a file where the folder belongs")
    record = LiveRecord.open("tiny", IDENTITY, {})
    record._described.wait(60)
    with pytest.raises(NotADirectoryError):
        record.log(1, {"loss": 1.0})
    with pytest.raises(NotADirectoryError):
        record.close(failed=True)


def test_a_training_shorter_than_its_description_waits_for_it(project, monkeypatch):
    monkeypatch.setattr(room, "BEGIN_SECONDS", 60)
    monkeypatch.setattr(room, "CLOSE_SECONDS", 0)
    began = time.monotonic()
    train(1, 1)
    assert time.monotonic() - began < 30
    assert room.read_journal(journal_path("tiny", IDENTITY)).parameters["train.steps"] == "9"
