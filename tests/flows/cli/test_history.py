"""`gristmill history`, `rollback` and `promote --reason` on the command line, and what Prefect hears of them."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli.history import figures
from flows.cli.main import main
from tasks.register.ledger import EVENT
from tests.flows.conftest import events_in
from tests.register import empty_database
from tests.register.versions import make_champions

DAY = r"\d{4}-\d\d-\d\d"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model has had three champions; do not modify."""
    root = tmp_path_factory.mktemp("history")
    (root / "recipes").mkdir()
    (root / "recipes/tiny.yaml").write_text("task: causal-lm\n")
    (root / "dvc.yaml").write_text("vars:\n  - recipes:\n      tiny: {}\n")
    (root / "mlflow.db").write_bytes(empty_database())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        make_champions(3)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project; the working directory."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "project"


def gristmill(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_history_shows_each_event_and_who_was_champion_when(project: Path) -> None:
    assert gristmill("rollback", "tiny", "--reason", "it  swears\nat\x1b[31m night").exit_code == 0
    told = json.loads(gristmill("history", "tiny", "--json").stdout)
    last = told["events"][-1]
    assert (told["champion"], told["faults"], last["event"], last["before"], last["after"]) == (
        2,
        [],
        "rolled back",
        3,
        2,
    )
    assert last["reason"] == "it swears at [31m night" and last["commit"] == "c0ffee" and len(last["hash"]) == 64
    said = gristmill("history", "tiny").stdout
    assert re.search(rf"{DAY} \d\d:\d\d +rolled back +2 +3 → 2 +.* +it swears at \[31m night", said)
    third = told["events"][5]["time"]
    said = gristmill("history", "tiny", "--at", third).stdout
    assert re.search(r"version 3 was champion since .*\n +event +promoted\n", said)
    assert "version 2 was champion" in gristmill("history", "tiny", "--at", third[:10]).stdout, "today: now"
    assert json.loads(gristmill("history", "tiny", "--at", third, "--json").stdout)["champion"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("history", "tiny", "--at", "2030-01-01"), "2030-01-01 is in the future"),
        (("history", "tiny", "--at", "yesterday"), "'yesterday' is neither a date"),
        (("history", "tiny", "--at", "2020-01-01"), "does not tell who was champion then; it begins with 20"),
        (("rollback", "tiny"), "Missing option '--reason'"),
        (("rollback", "tiny", "--reason", " \n"), "is empty; say why in a sentence"),
        (("rollback", "tiny", "--reason", "a" * 10_000), "has 10,000 characters, at most 1,000"),
        (("rollback", "tiny", "--to", "9", "--reason", "a"), "tiny has no version 9 (available: 1, 2, 3)"),
        (("promote", "tiny", "1", "--reason", ""), "is empty"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(project: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = gristmill(*arguments)
    assert (done.exit_code, sentence in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_missing_event_is_a_warning_and_exit_code_1(project: Path) -> None:
    from mlflow import MlflowClient

    keys = sorted(key for key in MlflowClient().get_registered_model("tiny").tags if key.startswith(EVENT))
    MlflowClient().delete_registered_model_tag("tiny", keys[2])
    done = gristmill("history", "tiny")
    assert done.exit_code == 1 and "version 3" not in done.stderr
    assert re.search(r"^warning: the ledger of tiny: the event \w{8} before that of .* is missing$", done.stderr, re.M)
    assert gristmill("rollback", "tiny", "--reason", "worse").exit_code == 0
    assert json.loads(gristmill("history", "tiny", "--json").stdout)["faults"]


@contextmanager
def configured(api: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    patch.setenv("PREFECT_API_URL", api)
    with temporary_settings({PREFECT_API_URL: api, PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield


def test_a_configured_prefect_hears_of_a_rollback(project: Path, prefect_api: str, monkeypatch) -> None:
    with configured(prefect_api, monkeypatch):
        done = gristmill("rollback", "tiny", "--reason", "it swears")
    assert done.stdout.startswith("version 2 of tiny is champion again") and "warning" not in done.stderr
    (told,) = events_in(prefect_api, "gristmill.champion", "gristmill.recipe.tiny")
    assert told["payload"]["reason"] == "it swears" and told["resource"]["gristmill.champion"] == "2"
    assert (told["payload"]["before"], told["payload"]["after"]) == (3, 2)


def test_a_prefect_that_is_away_costs_a_warning_and_no_rollback(project: Path, monkeypatch) -> None:
    with configured("http://127.0.0.1:9/api", monkeypatch):
        done = gristmill("rollback", "tiny", "--reason", "it swears")
    assert done.stdout.startswith("version 2 of tiny is champion again") and done.exit_code == 0
    assert "warning: Prefect was not told: PREFECT_API_URL: no Prefect server answers at" in done.stderr


def test_a_verdict_is_one_line() -> None:
    verdict = {"verdict": "better", "gain": 0.0123, "low": 0.004, "high": 0.0206, "p": 0.0031}
    assert figures(verdict) == "better: gain 0.0123 (0.0040 to 0.0206), p 0.0031"
    assert (figures({"verdict": "cannot tell"}), figures({}), figures(None)) == ("cannot tell", "", "")
