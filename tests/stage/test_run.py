import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.stage.errors import DataError, GristmillError, TransientError
from tasks.stage.run import Drop, Job, Report, Stage, command_line, main, run
from tests.corpora import write_recipe
from tests.scratch import ROOT, command


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, "x", "description: x\n")
    return tmp_path


def stage(work) -> Stage:  # type: ignore[no-untyped-def]
    return Stage("clean", work, ("valid",), ("clean", "notes/words.txt"), "clean/report.json")


def good(job: Job) -> Report:
    job.output("clean").mkdir()
    (job.output("clean") / "part").write_text("one")
    job.output("notes/words.txt").write_text("two")
    return Report({"documents": 2}, {"documents": 1}, [Drop("too_short", 1, ["b: 0 words"])])


def test_outputs_take_their_places_with_a_report(project: Path) -> None:
    run(stage(good), "x")
    assert Path("data/x/clean/part").read_text() == "one"
    assert Path("data/x/notes/words.txt").read_text() == "two"
    report = json.loads(Path("data/x/clean/report.json").read_text())
    assert (report["stage"], report["dropped"][0]["reason"]) == ("clean", "too_short")
    assert sorted(p.name for p in Path("data/x").iterdir()) == ["clean", "notes"]


def test_a_failure_leaves_the_last_good_outputs(project: Path) -> None:
    run(stage(good), "x")

    def bad(job: Job) -> Report:
        job.output("clean").mkdir()
        raise DataError("data/x/valid row 3: wrong")

    with pytest.raises(DataError):
        run(stage(bad), "x")
    assert Path("data/x/clean/part").read_text() == "one"
    assert not list(Path("data/x").glob(".partial*"))


def test_what_an_interrupted_run_left_is_swept_away(project: Path) -> None:
    leftover = Path("data/x/.partial-clean/clean")
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")
    run(stage(good), "x")
    assert not Path("data/x/clean/half").exists()
    run(stage(good), "x")
    assert Path("data/x/clean/part").read_text() == "one"


def test_a_stage_reads_and_writes_only_what_it_declares(project: Path) -> None:
    job = Job(stage(good), "x")
    with pytest.raises(KeyError):
        job.input("raw")
    with pytest.raises(KeyError):
        job.output("raw")
    with pytest.raises(DataError, match=r"data/x/valid: not found; .* dvc repro clean@x"):
        job.input("valid")


@pytest.mark.parametrize(("error", "code"), [(GristmillError, 2), (TransientError, 75)])
def test_the_exit_code_tells_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: type[Exception], code: int
) -> None:
    def bad(job: Job) -> Report:
        raise error("one sentence")

    monkeypatch.setenv("GRISTMILL_OUTCOME", "outcome.json")
    monkeypatch.setattr("tasks.stage.run.end_with_parent", lambda: None)  # it would end pytest with its parent
    with pytest.raises(SystemExit) as caught:
        main(stage(bad), ["x"])
    assert caught.value.code == code
    assert capsys.readouterr().err == ""  # the flow tells it
    outcome = json.loads(Path("outcome.json").read_text())
    assert (outcome["stage"], outcome["exit_code"], outcome["error"]) == ("clean", code, "one sentence")
    monkeypatch.delenv("GRISTMILL_OUTCOME")
    with pytest.raises(SystemExit):
        main(stage(bad), ["x"])
    assert capsys.readouterr().err == "one sentence\n"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_one_sentence_and_changes_nothing(project: Path, wrapped: bool) -> None:
    run(stage(good), "x")

    def full(job: Job) -> Report:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/x/part")
        except OSError as error:
            if wrapped:
                raise RuntimeError("some library's words") from error
            raise

    with pytest.raises(GristmillError, match=r"data/x: no space left on the disk \(data/x/part\); nothing was changed"):
        run(stage(full), "x")
    assert Path("data/x/clean/part").read_text() == "one"


@pytest.mark.parametrize(
    "work",
    [
        "bytearray(1 << 60)",
        "__import__('numpy').empty(1 << 50, 'b')",
        "__import__('pyarrow').allocate_buffer(1 << 50)",
        "__import__('torch').empty(1 << 50)",
        "__import__('mmap').mmap(-1, 1 << 50)",
    ],
)
def test_too_little_memory_is_one_sentence_and_changes_nothing(project: Path, work: str) -> None:
    run(stage(good), "x")
    with pytest.raises(GristmillError, match=r"^data/x: not enough memory; use fewer workers .*; nothing was changed$"):
        run(stage(lambda job: eval(work)), "x")
    assert Path("data/x/clean/part").read_text() == "one"


def test_what_a_machine_refuses_work_that_is_no_stage_is_one_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(recipe: str) -> None:
        with sqlite3.connect("file::memory:?mode=ro&immutable=1", uri=True) as database:
            database.execute("pragma query_only = on")
            database.execute("create table t (a)")

    def killed(recipe: str) -> None:
        raise GristmillError("a worker was killed, probably out of memory") from MemoryError()

    for work, told in (
        (refused, "x: the file system is read-only"),
        (killed, "a worker was killed, probably out of mem"),
    ):
        with pytest.raises(SystemExit) as end:
            command_line("register", work, ["x"])
        assert end.value.code == 2 and capsys.readouterr().err.startswith(told)


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="no rights to mount a small file system",
)
def test_a_really_full_disk(project: Path) -> None:
    program = """
import os
from tasks.stage.run import Report, Stage, main
from tests.corpora import write_corpus

def work(job):
    write_corpus(job.output("clean"), [os.urandom(200_000).hex() for _ in range(40)])
    return Report()

main(Stage("clean", work, (), ("clean",), "clean/report.json"))
"""
    (project / "full.py").write_text(program)
    mount = (
        "mkdir -p data && mount -t tmpfs -o size=2m none data && mkdir -p data/x/clean && echo good >data/x/clean/old; "
        f"{sys.executable} full.py x; code=$?; cat data/x/clean/old; ls -A data/x; exit $code"
    )
    done = command(project, "unshare", "-rm", "sh", "-c", mount, check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("data/x: no space left on the disk")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.split() == ["good", "clean"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread polls")
def test_a_stage_dies_with_its_parent(project: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'from tasks.stage.parent import end_with_parent; "
        "end_with_parent(); print(1, flush=True); import time; time.sleep(60)'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
