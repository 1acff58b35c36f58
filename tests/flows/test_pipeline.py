"""The promises of a run of the flow, on a toy project with real DVC and a real Prefect API."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runner import StageFailed
from flows.workspace import BusyWorkspace, claim
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError
from tests.flows.conftest import attempts, changed, dvc, edit, events_in


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    """What Prefect's log prints on the terminal."""
    import flows.pipeline

    (handler,) = (one for one in logging.getLogger().handlers if isinstance(one, flows.pipeline.PrefectConsoleHandler))
    printed = io.StringIO()
    monkeypatch.setattr(handler.console, "file", printed)
    return printed


def _task_runs(flow_run_id: str):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all()  # task states are sent as events
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        runs = client.read_task_runs(flow_run_filter=wanted)
    return sorted(runs, key=lambda run: run.start_time or run.expected_start_time)


def _run_id(summary) -> str:
    return summary.flow_run.rpartition("/")[2]


def test_each_stage_is_one_task_in_the_order_of_the_graph(first_run):
    folder, summary = first_run
    runs = _task_runs(_run_id(summary))
    assert [run.name for run in runs] == ["first@toy", "second@toy", "register@toy"]
    assert all({"toy", run.name.partition("@")[0]} <= set(run.tags) for run in runs)
    assert [run.state.name for run in runs] == ["Completed"] * 3
    upstream = {run.id for run in runs[:1]}
    assert {need.id for need in runs[1].task_inputs["wait_for"]} == upstream
    assert (folder / "attempts.txt").read_text().split() == ["first", "second", "register"]


def test_prefect_hears_of_the_gate_and_of_the_champion(first_run, prefect_api):
    for event in ("gristmill.gate", "gristmill.champion"):
        told = events_in(prefect_api, event, "gristmill.recipe.toy")[-1]
        assert told["occurred"].startswith("2026-11-27T21:23:51.123456")
        assert told["payload"]["verdict"] == {"verdict": "better", "gain": 0.5} and told["payload"]["model"] == "toys"
        labels = {name: told["resource"][f"gristmill.{name}"] for name in ("event", "version", "champion", "verdict")}
        assert labels == {"event": "promoted", "version": "1", "champion": "1", "verdict": "better"}
        kinds = {each["prefect.resource.role"] for each in told["related"]}
        assert {"flow-run", "flow"} <= kinds


def test_summary_tells_what_ran_the_metrics_and_the_registration(first_run):
    _, summary = first_run
    assert [(row.address, row.happened) for row in summary.rows] == [("first@toy", "ran"), ("second@toy", "ran")]
    assert summary.metrics == {"bits_per_byte": 1.5, "signature": "a:1|b:2"}
    assert summary.registration["version"] == 1
    assert summary.warning is None


def test_lines_of_a_stage_reach_the_log_of_its_task(first_run):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    run_id = _run_id(first_run[1])
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])), limit=200)
    task = next(run for run in _task_runs(run_id) if run.name == "first@toy")
    assert [log.task_run_id for log in logs if log.message == "first: a line for the log"] == [task.id]


def test_reports_and_metrics_are_artifacts(first_run):
    from prefect.artifacts import Artifact

    report = Artifact.get("toy-second-report")
    assert report is not None and report.type == "table"
    assert "too_short" in str(report.data) and "a (3 words)" in str(report.data)
    metrics = Artifact.get("toy-metrics")
    assert metrics is not None and "| bits_per_byte | 1.5000 |" in str(metrics.data)
    assert "| signature | a:1\\|b:2 |" in str(metrics.data)  # a bar would end the cell
    page = "http://127.0.0.1:5000/#/experiments/7/runs/1a2b?workflowType=machine_learning"
    assert f"- run_id: [1a2b]({page}), while `make ui` runs" in str(metrics.data)


def test_runs_can_be_told_apart_and_found_by_their_recipe(first_run):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(_run_id(first_run[1]))
    assert re.fullmatch(r"toy \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", run.name)
    assert "toy" in run.tags


def test_second_run_runs_nothing_and_shows_stages_as_cached(ran_toy, run_flow):
    summary = run_flow("toy")
    assert attempts() == ["register"]
    assert [row.happened for row in summary.rows] == ["unchanged", "unchanged"]
    states = {run.name: run.state.name for run in _task_runs(_run_id(summary))}
    assert states == {"first@toy": "Cached", "second@toy": "Cached", "register@toy": "Completed"}


def test_dvc_has_nothing_to_do_after_a_flow(ran_toy):
    assert changed("toy") == []
    dvc("repro", "second@toy")
    assert attempts() == []


def test_outputs_that_only_the_cache_has_lost_are_kept(ran_toy, run_flow):
    shutil.rmtree(".dvc/cache")
    Path("data/toy/second/text.txt").write_text("damaged")
    summary = run_flow("toy")
    assert [row.happened for row in summary.rows] == ["unchanged", "ran"]
    assert attempts() == ["second", "register"]
    assert Path("data/toy/second/text.txt").read_text() == "one two"
    assert changed("toy") == []


def test_flow_has_nothing_to_do_after_dvc(toy, run_flow):
    dvc("repro", "second@toy")
    assert attempts() == ["first", "second"]
    summary = run_flow("toy")
    assert attempts() == ["first", "second", "register"]
    assert [row.happened for row in summary.rows] == ["unchanged", "unchanged"]


def test_only_changed_stages_run_and_known_results_come_from_the_cache(ran_toy, run_flow):
    edit()
    assert [row.happened for row in run_flow("toy").rows] == ["unchanged", "ran"]
    assert Path("data/toy/second/text.txt").read_text() == "one three"
    edit("three", "two")
    assert [row.happened for row in run_flow("toy").rows] == ["unchanged", "restored"]
    assert Path("data/toy/second/text.txt").read_text() == "one two"
    assert attempts() == ["second", "register", "register"]


def test_stages_of_another_recipe_run_first_where_their_outputs_are_needed(toy, run_flow):
    rows = run_flow("child").rows
    assert [row.address for row in rows] == ["first@toy", "second@toy", "first@child", "second@child"]
    assert {row.happened for row in rows} == {"ran"}


@pytest.mark.parametrize(("wish", "exit_code", "sentence"), [("bad", 2, "bad data"), ("crash", 1, "ZeroDivisionError")])
def test_failure_keeps_the_last_good_outputs_and_is_not_tried_again(
    ran_toy, run_flow, terminal, wish, exit_code, sentence
):
    edit()
    Path("behave/second").write_text(wish)
    with pytest.raises(StageFailed, match=sentence) as failed:
        run_flow("toy")
    assert (failed.value.address, failed.value.exit_code) == ("second@toy", exit_code)
    assert attempts() == ["second"]
    assert Path("data/toy/second/text.txt").read_text() == "one two"
    assert Path("data/toy/evaluation/metrics.json").exists()
    assert changed("toy") == ["second@toy"]
    told = terminal.getvalue()
    assert "stage 2 of 2: second@toy" in told
    assert wish == "crash" or sentence not in told  # the caller tells it; a traceback ends with its line
    assert "failed to reproduce" not in told and "Finished in state Failed" not in told


def test_what_may_pass_by_itself_is_tried_again(ran_toy, run_flow, terminal):
    edit()
    Path("behave/second").write_text("transient")
    assert [row.happened for row in run_flow("toy").rows] == ["unchanged", "ran"]
    assert attempts() == ["second", "second", "register"]
    assert len([line for line in terminal.getvalue().splitlines() if "the network is away" in line]) == 1


def test_busy_dvc_is_waited_for_and_tried_again(ran_toy, run_flow, monkeypatch):
    edit()
    monkeypatch.setattr("flows.graph.PATIENCE", 0.0)
    monkeypatch.setenv("GRISTMILL_RETRIES", "1")
    busy = {"write": {str(ran_toy / "data/toy/second"): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps(busy))
    with pytest.raises(GristmillError, match="another DVC process") as failed:
        run_flow("toy")
    assert failed.value.exit_code == EXIT_TRANSIENT


def test_run_completes_without_mlflow_and_says_what_to_do(ran_toy, run_flow, monkeypatch):
    monkeypatch.setenv("GRISTMILL_RETRIES", "1")
    Path("behave/register").write_text("away")
    summary = run_flow("toy")
    assert attempts() == ["register", "register"]
    assert summary.warning is not None and "run `gristmill run toy` again" in summary.warning


def test_second_flow_in_one_workspace_is_refused(ran_toy, run_flow):
    with claim("toy", [], print), pytest.raises(BusyWorkspace, match="toy: another run is in progress here"):
        run_flow("toy")
    assert attempts() == []
    run_flow("toy")
    assert attempts() == ["register"]


def test_change_during_the_run_is_told(ran_toy, run_flow):
    Path("behave/register").write_text("edit")
    with pytest.raises(GristmillError, match=r"dvc status: .*first@toy \(.*recipes/toy.yaml"):
        run_flow("toy")


def test_what_is_saved_while_a_stage_runs_fails_it_and_the_next_run_uses_it(ran_toy, run_flow):
    edit("one", "four")
    Path("behave/first").write_text("sh echo more >>own.txt")
    with pytest.raises(StageFailed, match=r"first@toy: own\.txt: changed while first ran, .*run it again") as failed:
        run_flow("toy")
    assert (failed.value.exit_code, attempts()) == (2, ["first"])
    assert Path("data/toy/first/text.txt").read_text() == "one"
    assert "own.txt" in dvc("status", "first@toy")
    Path("behave/first").unlink()
    assert [row.happened for row in run_flow("toy").rows] == ["ran", "ran"]


def test_stages_side_by_side_and_by_hand_notice_what_is_saved_meanwhile(ran_toy):
    edit("one", "four")
    Path("behave/first").write_text("sh sleep 1; echo '# saved' >>tasks/first.py")
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item"]
    together = [
        subprocess.Popen(
            [*command, f"first@{recipe}"], stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": python}
        )
        for recipe in ("toy", "child")
    ]
    for process in together:
        said = process.communicate()[1]
        assert process.returncode != 0
        assert "tasks/first.py: changed while first ran" in said
    assert {"first@toy", "first@child"} <= set(changed("child"))


def with_option(option: str, stage: str = "first") -> None:
    """Give a stage of the graph an option."""
    graph, command = Path("dvc.yaml"), f"      cmd: python -m tasks.{stage} ${{key}}\n"
    graph.write_text(graph.read_text().replace(command, f"{command}      {option}: true\n"))


def test_a_stage_that_always_runs_does_and_the_next_one_only_if_it_has_to(ran_toy, run_flow):
    with_option("always_changed")
    assert [row.happened for row in run_flow("toy").rows] == ["ran", "unchanged"]
    edit("one", "four")
    assert [row.happened for row in run_flow("toy").rows] == ["ran", "ran"]


def test_a_frozen_stage_keeps_its_outputs_and_nothing_runs_for_it(ran_toy, run_flow):
    run_flow("child")
    with_option("frozen")
    edit("one", "four")
    edit("two", "three")
    shutil.rmtree("data/child/first")
    rows = {row.address: row.happened for row in run_flow("child").rows}
    assert rows == {"first@child": "unchanged", "second@child": "unchanged"}
    assert Path("data/child/first/text.txt").read_text() == "one"
    shutil.rmtree("data/child/first")
    shutil.rmtree(".dvc/cache")
    with pytest.raises(
        StageFailed, match=r"first@child: DVC does not run it .* cache lacks data/child/first; `dvc pull`"
    ):
        run_flow("child")


def test_data_without_a_command_is_restored(ran_toy, run_flow):
    dvc("add", "own.txt")
    Path("own.txt").unlink()
    rows = {row.address: row.happened for row in run_flow("toy").rows}
    assert rows == {"own.txt.dvc": "unchanged", "first@toy": "unchanged", "second@toy": "unchanged"}
