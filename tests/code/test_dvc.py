"""Which stages real DVC reruns after a code change."""

import json
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.recipes import RENEW
from tasks.code.versions import read_listed, write_versions
from tests.families import tiny_recipe, write_source
from tests.scratch import STAGES, command, make_project, run_stages, without_tracking

CLEAN = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which DVC knows that all stages of a recipe have run; committed to git."""
    root = tmp_path_factory.mktemp("code")
    (root / "tiny.yaml").write_text(json.dumps(tiny_recipe("causal-lm", "texts/all.jsonl")))
    folder = make_project(root / "project", {"tiny": root / "tiny.yaml"})
    graph = folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("source: data/code/ingest.json", "source: texts"))
    write_source(folder / "texts/all.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        without_tracking(patch)
        run_stages("tiny")
    command(folder, "dvc", "config", "--local", "cache.dir", str(root / "cache"))
    command(folder, "dvc", "commit", "--force", "--quiet")
    command(folder, "git", "add", "--all")
    command(folder, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "all")
    return folder


@pytest.fixture
def project(made: Path) -> Iterator[Path]:
    """The same project; a test's changes are reverted afterwards."""
    yield made
    command(made, "git", "checkout", "--quiet", ".")
    command(made, "dvc", "checkout", "--quiet", "--force")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def stale(folder: Path) -> set[str]:
    """The stages that DVC would run."""
    said = command(folder, "dvc", "status", "--json").stdout
    return set(json.loads(said))


def test_a_comment_and_a_docstring_run_the_stage_code_alone(project: Path) -> None:
    edit(project, "tasks/train/schedule.py", '"""The learning', '# A remark.\n"""In short: the learning')
    assert stale(project) == {"code"}
    assert "Running stage 'code'" in command(project, "dvc", "repro", "code").stdout
    assert command(project, "dvc", "status").stdout.strip() == CLEAN


def test_code_that_is_saved_while_it_is_hashed_is_not_noted(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)

    def write_and_edit() -> None:
        write_versions()
        edit(project, "tasks/train/schedule.py", "settings.warmup_steps + 1)", "settings.warmup_steps + 2)")

    monkeypatch.setattr("tasks.code.versions.write_versions", write_and_edit)
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("tasks.code", run_name="__main__")
    assert "tasks/train/schedule.py: changed while code ran" in capsys.readouterr().err


def test_a_rename_that_is_listed_runs_nothing(project: Path) -> None:
    edit(project, "tasks/train/schedule.py", "fall = ", "fallen = ")
    edit(project, "tasks/train/schedule.py", "* fall\n", "* fallen\n")
    command(project, "dvc", "repro", "code")
    assert stale(project) == {"train@tiny"}
    code = json.loads((project / "data/code/train.json").read_text())["code"]
    known = f"train:\n  version: {read_listed()['train'].version}\n  code:\n"
    edit(project, "tasks/code.yaml", known, f"{known}    '{code}': the same bytes\n")
    command(project, "dvc", "repro", "code")
    assert command(project, "dvc", "status").stdout.strip() == CLEAN


def test_a_new_version_runs_its_stage(project: Path) -> None:
    now = f"clean:\n  version: {read_listed()['clean'].version}"
    edit(project, "tasks/code.yaml", now, f"{now}0")
    command(project, "dvc", "repro", "code")
    assert stale(project) == {"clean@tiny"}


def test_a_new_torch_runs_what_stands_on_it_and_a_new_rich_nothing(project: Path) -> None:
    edit(project, "requirements.lock", "\nrich==", "\nrich==1")
    command(project, "dvc", "repro", "code")
    assert command(project, "dvc", "status").stdout.strip() == CLEAN
    edit(project, "requirements.lock", "\ntorch==", "\ntorch==9")
    said = command(project, "dvc", "repro", "code").stderr
    assert "code: torch 2" in said and "locked; `make setup` installs the locked version" in said
    assert stale(project) == {"train@tiny", "evaluate@tiny"}


def test_a_lock_from_before_the_stage_code_moves_over_without_training(project: Path) -> None:
    lock = project / "dvc.lock"
    text = re.sub(r"    - path: data/code/(\w+)\.json\n", r"    - path: tasks/\1\n", lock.read_text())
    lock.write_text(text)
    assert stale(project) >= {f"{stage}@tiny" for stage in STAGES}
    command(project, "dvc", "repro", "code")
    command(project, *RENEW.format(name="tiny").split("`")[3].split())
    assert command(project, "dvc", "status").stdout.strip() == CLEAN


@pytest.mark.parametrize("lock", [True, False])
def test_a_clone_with_the_shared_cache_runs_nothing(made: Path, tmp_path: Path, lock: bool) -> None:
    clone = tmp_path / "clone"
    command(tmp_path, "git", "clone", "--quiet", str(made), str(clone))
    shutil.copy(made / ".dvc/config.local", clone / ".dvc/config.local")
    if not lock:
        (clone / "dvc.lock").unlink()
    said = command(clone, "dvc", "repro").stdout
    assert said.count("skipping") == 8
    assert "Running stage" not in said
    assert (clone / "data/tiny/model/model.safetensors").is_file()
    assert command(clone, "dvc", "status").stdout.strip() == CLEAN


def test_a_flow_tells_why_the_stage_code_failed_once_with_its_exit_code(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    lock = project / "requirements.lock"
    lock.write_text(re.sub(r"(?m)^numpy==", "other==", lock.read_text()))
    done = command(project, sys.executable, "-m", "flows", "run", "tiny", check=False)
    assert done.returncode == 2
    assert (done.stdout + done.stderr).count("numpy is missing") == 1
    assert "last line" not in done.stderr
