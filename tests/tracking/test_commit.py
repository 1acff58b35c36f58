"""The record names this project's commit, or a line says why it names none."""

import os
import subprocess
from pathlib import Path

import pytest

from tasks.tracking.commit import commit_tags


def repository(folder: Path) -> str:
    """Make a repository with one commit; returns the commit."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(folder.name)
    for command in ("init --quiet", "add .", "-c user.name=a -c user.email=a@b commit --quiet --message one"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    repository(tmp_path / "other")
    found = repository(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return found


@pytest.mark.parametrize(
    "named",
    [
        {"GIT_DIR": "../other/.git"},
        {"GIT_DIR": "../other/.git", "GIT_WORK_TREE": "../other"},
        {"GIT_DIR": "/nowhere"},
        {"GIT_WORK_TREE": "../other"},
        {"GIT_INDEX_FILE": "../other/.git/index"},
        {"GIT_COMMON_DIR": "../other/.git"},
        {"GIT_OBJECT_DIRECTORY": "../other/.git/objects"},
        {"GIT_NAMESPACE": "other"},
        {"GIT_DIR": "../other/.git", "GIT_PREFIX": "", "GIT_INDEX_FILE": ".git/index"},
    ],
)
def test_the_commit_is_of_this_project_whatever_the_environment_names(
    commit: str, named: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert commit_tags() == {"mlflow.source.git.commit": commit, "gristmill.git.dirty": "false"}
    Path("recipe.yaml").write_text("edited")
    assert commit_tags()["gristmill.git.dirty"] == "true"
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user_says_why_no_commit_is_recorded(
    commit: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (Path(), Path(".git")):
        os.chown(path, 12345, 12345)
    assert commit_tags() == {}
    told = capfd.readouterr().err
    assert told.startswith("record: the git commit is not recorded: detected dubious ownership")
    assert f"git config --global --add safe.directory {Path.cwd()}" in told and told.count("\n") == 1
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert commit_tags()["mlflow.source.git.commit"] == commit


def test_a_status_that_fails_is_not_a_clean_one(commit: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path(".git/index").write_bytes(b"damaged")
    assert commit_tags() == {}
    assert "the git commit is not recorded: .git/index: index file smaller" in capfd.readouterr().err


@pytest.mark.parametrize("ignored", ["", "inner/"])
def test_a_repository_around_that_does_not_track_the_project_is_not_its_own(
    commit: str, ignored: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    around = Path.cwd()
    Path(".gitignore").write_text(ignored)
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    Path("dvc.yaml").write_text("stages: {}")
    assert commit_tags() == {}
    told = f"the repository around this project, {around}, does not track it"
    assert capfd.readouterr().err == f"record: the git commit is not recorded: {told}\n"
    subprocess.run(["git", "add", "--force", "dvc.yaml"], check=True)
    assert commit_tags() == {"mlflow.source.git.commit": commit, "gristmill.git.dirty": "true"}


def test_a_damaged_repository_is_not_none(commit: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path(".git/HEAD").write_text("damaged")
    assert commit_tags() == {}
    assert capfd.readouterr().err.startswith("record: the git commit is not recorded: not a git repository")


def test_a_machine_without_git_says_so(
    commit: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_tags() == {}
    assert capfd.readouterr().err == "record: the git commit is not recorded: git is not installed\n"


def test_without_a_commit_there_is_nothing_to_say(
    commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert commit_tags() == {}
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert commit_tags() == {}
    assert capfd.readouterr().err == ""
