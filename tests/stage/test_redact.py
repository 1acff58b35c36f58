import json
from pathlib import Path

import pytest

from flows.runner import StageFailed
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import DataError, RecipeError, TransientError
from tasks.stage.redact import redact
from tasks.stage.run import Report, Stage, run
from tasks.stage.settings import read_section
from tasks.tracking.client import flatten


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("at http://me:s3cret@host:80/x failed", "at http://host:80/x failed"),
        ("postgresql+psycopg://me:s3cret@host/db", "postgresql+psycopg://host/db"),
        ("https://s3cret@github.com/a", "https://github.com/a"),
        ("('http://me:s3@cret@host')", "('http://host')"),
        ("http://me:s3/cret@host/x", "http://host/x"),
        ("https://h/a?x=1&X-Amz-Signature=s3cret&y=2", "https://h/a?x=1&X-Amz-Signature=***&y=2"),
        ("https://h/a?sv=1&sig=s3cret%3D", "https://h/a?sv=1&sig=***"),
        ("https://h/a?access_token=s3cret", "https://h/a?access_token=***"),
        ("https://h/a?api_key=s3cret)", "https://h/a?api_key=***)"),
        ("https://h/a?user=me&pass=s3cret", "https://h/a?user=me&pass=***"),
        ("AccountName=me;AccountKey=s3cret==;x", "AccountName=me;AccountKey=***;x"),
        (f"not allowed: hf_{'aB3' * 11}", "not allowed: ***"),
        (f"github_pat_{'aB_' * 11}, AKIA{'A1B2' * 4}", "***, ***"),
        ("headers: {'Authorization': 'Bearer s3cret'}", "headers: {'Authorization': 'Bearer ***'}"),
    ],
)
def test_a_secret_is_taken_out(text: str, plain: str) -> None:
    assert redact(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "https://h/a?keyword=key&page=2",
        "mail me@host.org",
        "a://b c@d",
        "https://h/@me/x",
        "monkey=1; token=2",
        f"hf_{'a_' * 20}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


SECRET = "https://me:s3cret@host/a?sig=s3cret"


def test_no_error_no_parameter_and_no_report_holds_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/x.yaml").write_text("task: causal-lm\n")
    for error in (DataError(SECRET), TransientError(f"{SECRET}: gone"), StageFailed("train@x", SECRET, 1)):
        assert "s3cret" not in f"{error} {error!r} {vars(error)}"
    assert "s3cret" not in json.dumps(flatten({"a": {"url": SECRET, "urls": [SECRET]}}))
    stage = Stage("s", lambda job: Report(details={"from": [SECRET]}), (), ("s",), "s/report.json")
    run(stage, "x")
    assert "host" in (text := Path("data/x/s/report.json").read_text()) and "s3cret" not in text


def test_a_recipe_with_one_is_refused_with_its_key_and_the_way_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/x.yaml").write_text(f"register: {{model_name: m, beat: ['{SECRET}']}}\n")
    with pytest.raises(RecipeError, match=r"^recipes/x\.yaml: register\.beat\.0: holds a password.*netrc") as told:
        read_section("x", "register", RegisterSettings)
    assert "s3cret" not in str(told.value)
