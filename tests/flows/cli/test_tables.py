"""Tables of recipes and runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

import tasks.recipe
from flows.cli.main import main
from flows.cli.tables import print_summary
from flows.summary import Row, Summary, read_metrics
from tasks.formats.origin import FromRecipe, Scratch
from tasks.stage.errors import RecipeError
from tests.register import empty_database, make_project

ORIGINS = {"play": Scratch(), "news": FromRecipe(kind="recipe", name="play"), "later": Scratch()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model and a classifier after a run, a recipe that never ran, and a broken one."""
    from tasks.register.registration import run

    root = tmp_path_factory.mktemp("tables")
    make_project(root, "play", "causal-lm")
    make_project(root, "news", "classification")
    (root / "recipes/later.yaml").write_text("task: masked-lm\n")
    (root / "recipes/broken.yaml").write_text("task: poetry\nregister: {speed: 3}\n")
    names = "play", "broken", "news", "later"
    (root / "dvc.yaml").write_text("vars:\n  - recipes:\n" + "".join(f"      {name}: {{}}\n" for name in names))
    (root / "mlflow.db").write_bytes(empty_database())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        run("play")
        run("news")
    return root


@pytest.fixture
def gristmill(project, monkeypatch):
    def run(*arguments: str) -> Result:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(project)
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    return run


def lines(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_recipes_with_their_champions_and_what_they_start_from(gristmill, monkeypatch):
    def load(name: str) -> SimpleNamespace:
        if name == "broken":
            raise RecipeError("one\ntwo")
        model = SimpleNamespace(init=ORIGINS[name], architecture="llama" if name != "news" else None)
        task = {"play": "causal-lm", "news": "classification", "later": "masked-lm"}[name]
        source = SimpleNamespace(root=SimpleNamespace(title=lambda: "plays"))
        return SimpleNamespace(task=task, model=model, ingest=source)

    monkeypatch.setattr(tasks.recipe, "load", load)  # loading has its own tests
    shown = lines(gristmill("recipes"))
    assert "play causal-lm llama plays version 1 bits_per_byte 2.5000" in shown
    assert "news classification from play plays version 1 macro_f1 2.5000" in shown
    assert "later masked-lm llama plays never run" in shown
    assert "broken 2 errors: gristmill check broken" in shown


def test_one_broken_recipe_does_not_hide_the_runs_of_the_others(gristmill):
    done = gristmill("runs")
    text = " ".join(lines(done))
    assert "bits_per_byte 2.5000" in text and "macro_f1 2.5000" in text
    assert done.stderr.startswith("warning: broken is skipped: recipes/broken.yaml: register.speed: unknown key")


def test_the_runs_of_one_recipe_have_its_metric_as_a_column(gristmill):
    header, *rows = [line for line in lines(gristmill("runs", "news")) if line]
    assert header.startswith("run started time machine who status macro_f1 validation loss")
    shown = " ".join(rows)
    assert "12.5 s" in shown and "finished" in shown and "2.5000 5.1000" in shown and "there was no" in shown


def test_a_broken_recipe_that_is_asked_for_is_an_error(gristmill):
    done = gristmill("runs", "broken")
    assert done.exit_code == 2 and done.stderr == "recipes/broken.yaml: register.speed: unknown key\n"


def test_the_summary_of_a_run_shows_intervals_baselines_and_counts(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    metrics = read_metrics("news")
    assert "classes" not in metrics  # too long for a summary
    found = {"model": "news", "version": 3, "alias": "champion", "reason": "better", "champion": 3}
    print_summary(Summary("news", None, [Row("train@news", "ran", 1.5)], metrics, found))
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "macro_f1 2.5000 2.2500 to 2.7500 majority 4.5000, tfidf 3.0000" in shown
    assert "documents 2" in shown
    assert any("gristmill predict news" in line for line in shown)


@pytest.mark.parametrize(
    ("registration", "command"),
    [
        (
            {"alias": "challenger", "version": 3, "champion": 2},
            'gristmill predict news "…" run the champion, version 2,',
        ),
        (
            {"alias": "challenger", "version": 3, "champion": None},
            "gristmill promote news 3 make this version champion",
        ),
        ({}, "gristmill run news complete the record"),
    ],
)
def test_summary_names_a_command_that_works(project, capsys, monkeypatch, registration, command):
    monkeypatch.chdir(project)
    found = {"model": "news", "reason": "so", **registration} if registration else {}
    print_summary(Summary("news", None, [], {}, found))
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(command) for line in shown)
    assert any("gristmill predict" in line for line in shown) == (registration.get("champion") is not None)
