"""Why stages are stale, with real DVC and git: on the toy project, and on the real code for what depends on it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli.main import main
from flows.why_stale import Reason, why_stale
from tests.flows.conftest import edit
from tests.scratch import command, make_project


def reasons(recipe: str = "toy") -> dict[str, list[Reason]]:
    return {stale.address: list(stale.reasons) for stale in why_stale(recipe)}


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["why-stale", *arguments])
    return done.exit_code, done.output.strip()


def test_nothing_stale_is_one_sentence(ran_toy: Path) -> None:
    assert told("toy", "--exit-code") == (0, "toy: nothing is stale; `gristmill run toy` would run no stage")


def test_a_key_of_the_recipe_is_named_from_what_to_what(ran_toy: Path) -> None:
    edit("one", "another")
    found = reasons()
    assert found["first@toy"] == [Reason("setting", "recipes/toy.yaml: first.text", "one", "another")]
    assert [(each.kind, each.what) for each in found["second@toy"]] == [("before", "first@toy")]
    code, output = told("toy")
    assert code == 0
    assert "first@toy would run:\n  recipes/toy.yaml: first.text: one → another" in output
    assert "second@toy would run:\n  first@toy: runs before it" in output
    assert told("toy", "--exit-code")[0] == 1


def test_a_file_and_the_files_of_a_folder_are_named(ran_toy: Path) -> None:
    Path("own.txt").write_text("other")
    Path("data/toy/first/text.txt").unlink()
    Path("data/toy/first/text.txt").write_text("by hand")
    Path("data/toy/first/new.txt").write_text("new")
    found = reasons()
    source, out = found["first@toy"]
    assert (source.kind, source.what, source.runs) == ("input", "own.txt", True)
    assert source.old and source.new and source.old != source.new
    assert (out.kind, out.what) == ("output", "data/toy/first") and "new.txt added, text.txt changed" in out.told
    (given, before) = found["second@toy"]
    assert (given.kind, given.what, given.told) == ("input", "data/toy/first", "new.txt added, text.txt changed")
    assert given.old and given.old.endswith(".dir") and before.what == "first@toy"


def test_a_lost_output_is_restored_and_nothing_follows(ran_toy: Path) -> None:
    shutil.rmtree("data/toy/first")
    (stale,) = [each for each in why_stale("toy") if each.address == "first@toy"]
    assert not stale.runs and "DVC restores it" in stale.reasons[0].told
    shutil.rmtree(".dvc/cache")
    first = next(each for each in why_stale("toy") if each.address == "first@toy")
    assert first.runs and "from DVC's cache, too" in first.reasons[0].told


def test_a_changed_command_is_shown(ran_toy: Path) -> None:
    path = Path("dvc.yaml")
    path.write_text(path.read_text().replace("python -m tasks.first ${key}", "python -B -m tasks.first ${key}"))
    assert reasons()["first@toy"] == [
        Reason("command", "command", "python -m tasks.first toy", "python -B -m tasks.first toy")
    ]


@pytest.mark.parametrize(
    ("spoil", "recipe", "sentence"),
    [
        (lambda: Path("dvc.lock").unlink(), "toy", "dvc.lock: missing, so every stage counts as never run"),
        (lambda: shutil.rmtree(".dvc/cache"), "toy", "toy: nothing would run, but DVC's cache has lost the outputs"),
        (lambda: None, "child", "child: never ran: dvc.lock does not know first@child, second@child"),
        (lambda: None, "none", "recipes/none.yaml: no such recipe"),
    ],
)
def test_what_explains_everything_is_one_sentence(
    ran_toy: Path, spoil: Callable[[], object], recipe: str, sentence: str
) -> None:
    spoil()
    _, output = told(recipe)
    assert output.startswith(sentence) and "\n" not in output


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the real code after the stages `code` and `base`, all committed; do not modify."""
    folder = make_project(tmp_path_factory.mktemp("coded") / "project")
    command(folder, "dvc", "repro", "-q", "base@tiny")
    _commit(folder)
    return folder


@pytest.fixture
def project(coded: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(coded, folder, symlinks=True)
    return folder


def _commit(folder: Path) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for arguments in (("add", "-A"), ("commit", "-q", "-m", "all")):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout


def _base(folder: Path) -> list[dict[str, Any]] | None:
    """The reasons of base@tiny; None if it is not stale."""
    done = command(folder, sys.executable, "-m", "flows", "why-stale", "tiny", "--json")
    found = {each["stage"]: each["reasons"] for each in json.loads(done.stdout)}
    assert found["code"][0]["what"] in ("tasks", "requirements.lock")
    return found.get("base@tiny")


def test_a_remark_makes_no_stage_but_code_stale(project: Path) -> None:
    path = project / "tasks/base/work.py"
    path.write_text(f"# A remark.\n{path.read_text()}")
    assert _base(project) is None


def test_the_file_of_code_and_the_library_that_differ_are_named(project: Path) -> None:
    path, lock = project / "tasks/stage/identity.py", project / "requirements.lock"
    path.write_text(path.read_text() + "\nDIFFERENT = 1\n")
    commit = _commit(project)  # committed, but not run: the code of dvc.lock is the commit before
    lock.write_text(lock.read_text().replace("\ntransformers==", "\ntransformers==9"))
    found = _base(project)
    assert found is not None
    library, code = found
    assert (library["kind"], library["what"]) == ("library", "transformers") and "locked" in library["new"]
    assert code["kind"] == "code" and code["old"].startswith("version ") and code["new"].startswith("unlisted code ")
    assert code["told"].endswith(": tasks/stage/identity.py changed") and commit[:10] not in code["told"]
