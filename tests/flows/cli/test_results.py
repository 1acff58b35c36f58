"""The table of results, for the terminal and between the markers of a Markdown file."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from flows.cli.main import main
from flows.cli.results import Row, read_results, with_champions
from tasks.register.champion import promote
from tasks.register.registration import run
from tests.register import IDENTITY, empty_database, evaluate, make_project, train, write_json

CAUSAL = (
    "| play | causal-lm | llama, 4,321 | bits_per_byte 2.500 (2.250 to 2.750) | perplexity 5.500, loss 8.500 "
    "| unigram 4.500, xz 3.000 | 12.5 s | a mill | 2026-11-22 |"
)
PAIR = (
    "| pairs | translation | marian, 4,321 | bleu 2.500 (2.250 to 2.750) | chrf 5.500 "
    "| copy 4.500 | 12.5 s | a mill | 2026-11-22 |"
)
ELSEWHERE = (
    "| other | masked-lm | bert, 9 M | pseudo_perplexity 7.000 |  |  "
    "| 3 h 05 min | A mill \\| B, 8 cores | 2026-01-02 |"
)
PAGE = "# Mill\r\n\nBefore.\n\n<!-- results -->{}<!-- /results -->\n\nAfter: é | x\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    make_project(root, "play", "causal-lm")
    make_project(root, "pairs", "translation")
    (root / "recipes/other.yaml").write_text("task: masked-lm\n")
    (root / "dvc.yaml").write_text("vars:\n  - recipes:\n      pairs: {}\n      other: {}\n      play: {}\n")
    return root


@pytest.fixture(autouse=True)
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return root


def results(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["results", *arguments], catch_exceptions=False)


def written(between: str = "") -> list[str]:
    """The rows that the command writes between markers that contain this text."""
    Path("README.md").write_bytes(PAGE.format(between).encode())
    done = results("--write", "README.md")
    assert done.exit_code == 0, done.output
    before, _, rest = Path("README.md").read_bytes().decode().partition("<!-- results -->")
    table, _, after = rest.partition("<!-- /results -->")
    assert (before, after) == tuple(PAGE.split("<!-- results -->{}<!-- /results -->"))
    header, rule, *rows = table.strip().splitlines()
    assert header.startswith("| recipe | task | model | on the test split |") and set(rule) == set("| -")
    return rows


def test_a_row_for_each_evaluated_recipe_in_the_order_of_the_graph():
    assert written() == [PAIR, CAUSAL]


def test_again_changes_nothing():
    written()
    before = Path("README.md").read_bytes()
    assert results("--write", "README.md").exit_code == 0
    assert Path("README.md").read_bytes() == before


def test_rows_of_another_machine_stay_and_those_of_recipes_that_are_gone_go():
    gone = ELSEWHERE.replace("other", "gone")
    old = CAUSAL.replace("2.500", "2.900")
    assert written(f"\n{CAUSAL}\n{gone}\n{ELSEWHERE}\n{old}\n") == [PAIR, ELSEWHERE, CAUSAL]


def test_a_model_that_was_only_fetched_keeps_the_machine_that_trained_it():
    shutil.rmtree("data/play/checkpoints")
    there = CAUSAL.replace("a mill", "the old mill")
    assert written(f"\n{there}\n") == [PAIR, there]
    other = there.replace("2.500", "2.400")
    assert written(f"\n{other}\n") == [PAIR, CAUSAL.replace("12.5 s | a mill | 2026-11-22", " |  | ")]


def test_the_machine_is_that_of_the_journal_and_the_base_is_named():
    write_json(Path("data/play/base/report.json"), {"details": {"init": {"kind": "recipe", "name": "small"}}})
    tags = {"gristmill.processor": "Intel(R) Xeon(R) CPU E5 @ 2.10GHz", "gristmill.cores": "2"}
    journal = Path(f"data/play/checkpoints/{IDENTITY}/record.jsonl")
    journal.write_text(json.dumps({"time": 0, "parameters": {}, "tags": tags}) + "\n")
    timing = journal.with_name("timing.json")
    write_json(timing, {**json.loads(timing.read_text()), "seconds": 435.4, "device": "cpu"})
    row = written()[1]
    assert "| llama from small, 4,321 |" in row
    assert "| 7 min 15 s | Intel Xeon E5, 2 cores |" in row
    write_json(timing, {**json.loads(timing.read_text()), "seconds": 11_130, "device": "NVIDIA H100"})
    assert "| 3 h 05 min | NVIDIA H100 |" in written()[1]


def test_the_terminal_shows_the_same():
    done = results()
    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    for cell in ("bits_per_byte 2.500 (2.250", "unigram 4.500, xz 3.000", "bleu 2.500", "2026-11-22"):
        assert cell in shown
    assert shown.index("pairs") < shown.index("play") and "other" not in shown


def test_without_results_it_is_said(project):
    shutil.rmtree(project / "data")
    assert results().stdout == "no results yet; run: gristmill run RECIPE\n"
    assert written() == []


@pytest.mark.parametrize("text", ["no markers", "<!-- /results --> <!-- results -->", PAGE.format("") * 2])
def test_a_file_without_markers_is_refused_and_stays(text):
    Path("x.md").write_bytes(text.encode())
    done = results("--write", "x.md")
    assert done.exit_code == 2
    assert done.stderr == "x.md: needs the markers <!-- results --> and <!-- /results --> exactly once\n"
    assert Path("x.md").read_bytes() == text.encode()


def test_a_row_that_is_none_is_refused():
    Path("x.md").write_text(PAGE.format("\n| play | 3 |\n"))
    done = results("--write", "x.md")
    assert done.exit_code == 2 and done.stderr == "x.md: between the markers: expected a row of 9 cells: | play | 3 |\n"


def test_a_recipe_that_cannot_be_read_keeps_its_row_with_a_warning():
    Path("recipes/pairs.yaml").write_text("task: poetry\n")
    there = PAIR.replace("a mill", "the old mill")
    assert written(f"\n{there}\n") == [there, CAUSAL]
    done = results("--write", "README.md")
    assert done.stderr.startswith('warning: pairs is skipped: recipes/pairs.yaml: task: "poetry"')
    Path("data/play/evaluation/metrics.json").write_text("{")
    assert "play is skipped: data/play/evaluation/metrics.json: invalid JSON" in results().stderr


def test_a_row_in_a_file_that_is_not_of_the_champion_is_told():
    Path("x.md").write_text(PAGE.format(""))
    write_json(Path("data/play/registration.json"), {"version": 3, "alias": "challenger", "champion": 2})
    warning = "warning: play: the row is of version 3, challenger; version 2 is champion: gristmill runs play\n"
    assert results("--write", "x.md").stderr == warning
    write_json(Path("data/play/registration.json"), {"version": 3, "alias": "champion", "champion": 3})
    assert results("--write", "x.md").stderr == ""


def shown() -> list[Row]:
    """The rows on the terminal."""
    return with_champions(read_results(["pairs", "play"])[0])[0]


def test_the_terminal_shows_the_champion_before_the_newest_model(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlflow.db").write_bytes(empty_database())
    run("play")
    assert [row.recipe for row in shown()] == ["pairs", "play"]
    first = shown()[1]
    train(project / "data/play", "c0" * 32, seed=1)
    evaluate(project / "data/play", 2.75)
    run("play")
    champion, newest = shown()[1:]
    assert (champion.recipe, newest.recipe) == ("play version 1, champion", "play version 2, newest")
    assert champion.score == "bits_per_byte 2.500" and newest.score.startswith("bits_per_byte 2.750")
    assert (champion.model, champion.baselines, champion.date) == (first.model, first.baselines, first.date)
    promote("play", 2)
    assert [row.recipe for row in shown()] == ["pairs", "play"]
    MlflowClient().delete_registered_model_alias("play", "champion")
    assert [row.recipe for row in shown()] == ["pairs", "play version 2, newest"]
    assert "play: there is no champion: gristmill runs play" in results().stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "play: the champion is not shown: MLflow at http://127.0.0.1:9 does not answer" in results().stderr
