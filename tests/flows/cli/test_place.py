"""Commands in any folder of a project, with strangers on PYTHONPATH, and recipes named by their files."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli.main import main
from flows.cli.place import way_here
from tests.scratch import ROOT, TINY, graph_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one recipe; the working directory."""
    folder = tmp_path / "project"
    (folder / "recipes").mkdir(parents=True)
    (folder / "dvc.yaml").write_text(graph_of({"tiny": "*alone"}))
    (folder / "recipes/tiny.yaml").write_text(TINY.read_text())
    monkeypatch.chdir(folder)
    return folder


def gristmill(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_other_packages_of_our_names_on_the_path_change_nothing(project: Path, tmp_path: Path) -> None:
    for name in ("flows", "tasks"):
        (tmp_path / "strange" / name).mkdir(parents=True)
        (tmp_path / "strange" / name / "__init__.py").write_text("raise SystemExit('a stranger runs')")
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "gristmill"
    ].partition(":")
    script = tmp_path / "bin" / "gristmill"  # as pip writes it
    script.parent.mkdir()
    script.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    path = os.pathsep.join([str(tmp_path / "strange"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, str(script), "check"], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("tiny: good\n", "")


@pytest.mark.parametrize("folder", ["recipes", "data/tiny/raw"])
def test_a_command_works_in_every_folder_of_the_project(project: Path, folder: str, monkeypatch) -> None:
    (project / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project / folder)
    assert gristmill("check", "tiny").output == "tiny: good\n"
    assert Path.cwd() == project


def test_a_path_means_the_folder_in_which_it_was_typed(project: Path, monkeypatch) -> None:
    (project / "notes").mkdir()
    (project / "notes/table.md").write_text("<!-- results -->\n<!-- /results -->\n")
    monkeypatch.chdir(project / "notes")
    assert gristmill("results", "--write", "table.md").exit_code == 0
    assert "| recipe | task |" in (project / "notes/table.md").read_text()


@pytest.mark.parametrize("arguments", [("run", "tiny"), ("check",), ("runs", "tiny"), ("predict", "tiny", "a")])
def test_outside_a_project_a_command_says_where_to_run(tmp_path: Path, monkeypatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    done = gristmill(*arguments)
    assert done.exit_code == 2
    assert done.output.endswith("in the project's folder\n")


@pytest.mark.parametrize(
    "spelled", ["tiny.yaml", "recipes/tiny.yaml", "./recipes/tiny.yaml", "recipes/tiny", "{project}/recipes/tiny.yaml"]
)
def test_a_recipe_is_also_its_file(project: Path, spelled: str) -> None:
    assert gristmill("check", spelled.format(project=project)).output == "tiny: good\n"


def test_a_recipe_is_also_its_file_in_a_folder_of_the_project(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project / "recipes")
    assert gristmill("new", "copy.yaml", "--like", "./tiny.yaml").exit_code == 0
    assert (project / "recipes/copy.yaml").is_file()
    done = gristmill("check", "../elsewhere/tiny.yaml")
    assert (done.exit_code, done.output) == (
        2, "../elsewhere/tiny.yaml: not in the folder recipes of this project; move it there\n"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["draft.yml", "draft.YAML", "draft.Yml"])
def test_a_file_that_is_not_read_is_told(project: Path, name: str) -> None:
    (project / "recipes/tiny.yaml").with_name(name).write_text(TINY.read_text())
    sentence = f"recipes/{name}: not read, since recipes end in .yaml; rename it to draft.yaml, or delete it\n"
    for arguments in (("check",), ("check", "draft"), ("run", f"recipes/{name}"), ("runs", "draft")):
        done = gristmill(*arguments)
        assert (done.exit_code, done.output) == (2, sentence)
    listed = gristmill("recipes")
    assert listed.exit_code == 0 and sentence in listed.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "a" * 300), f"'{'a' * 20}'… (300 characters) is not a recipe name: "),
        (("unschedule", "Tiny"), "digits or dashes; did you mean tiny?\n"),
        (("check", "recipes/schema.json"), "recipes/schema.json: not a recipe: recipes end in .yaml\n"),
        (("run", "."), "'.' is not a recipe name: "),
        (("RUN",), "No such command 'RUN'. Did you mean 'run'?\n"),
        (("remove", "tiny"), "No such command 'remove'. Did you mean 'rm'?\n"),
        (("list",), "No such command 'list'. Did you mean 'recipes'?\n"),
        (("promote", "tiny", "two"), "'two' is not a valid integer.\n"),
    ],
)
def test_what_a_newcomer_types_is_answered_in_a_sentence(project: Path, arguments: tuple[str, ...], told: str) -> None:
    done = gristmill(*arguments)
    assert done.exit_code == 2 and told in done.output


def test_files_that_no_recipe_can_be_are_told_and_those_of_editors_are_not(project: Path) -> None:
    for name in ("Tiny", "draft.v2", "code", ".hidden", "#tiny"):
        Path(f"recipes/{name}.yaml").write_text(TINY.read_text())
    Path("recipes/.#tiny.yaml").symlink_to("nowhere")
    done = gristmill("check")
    assert done.exit_code == 2
    assert [line.partition(": not read, since")[0] for line in done.output.splitlines()] == [
        "recipes/Tiny.yaml", "recipes/code.yaml", "recipes/draft.v2.yaml"
    ]  # fmt: skip
    assert "(available: tiny)" in gristmill("check", "nobody").output


def test_printed_commands_say_how_to_reach_them(project: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/activate").touch()
    monkeypatch.setenv("PWD", str(project))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert list(way_here()) == ["source .venv/bin/activate"]
    monkeypatch.setenv("VIRTUAL_ENV", str(project / ".venv"))
    assert way_here() == {}
    monkeypatch.setenv("PWD", str(tmp_path))
    assert list(way_here()) == [f"cd {project}"]
