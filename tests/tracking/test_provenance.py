"""What a run came from: the commit, the patch, the files that git does not know, and whether that is all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.tracking import outside, provenance
from tasks.tracking.provenance import FILES, PATCH, STATEMENT, Provenance, provenance_folder, settle

IDENTITY = "1d" * 32
SECRET = "TOKEN = 'hf_" + "a" * 34 + "'\n"


def git(*arguments: str) -> bytes:
    user = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *user, *arguments], check=True, capture_output=True).stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with one stage, committed; the working directory."""
    root = tmp_path / "project"
    files = {
        "tasks/one/__main__.py": "from tasks.one import work\n",
        "tasks/one/__init__.py": "",
        "tasks/one/work.py": "FACTOR = 1\n",
        "tasks/__init__.py": "",
        "recipes/tiny.yaml": "task: causal-lm\n",
        "dvc.yaml": "stages: {one: {cmd: x}}\n",
        ".gitignore": "__pycache__/\n*.local.py\n",
        "requirements.lock": "numpy==2.0\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.chdir(root)
    monkeypatch.setattr(provenance, "ROOT", root)
    monkeypatch.setattr(outside, "ROOT", root)
    git("init", "--quiet", "-b", "main")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return root


def collected() -> tuple[Provenance, Path]:
    return settle("tiny", IDENTITY, registering=True), provenance_folder("tiny", IDENTITY)


def test_a_clean_work_tree_is_its_commit(project: Path) -> None:
    found, folder = collected()
    assert found.rebuildable == "yes" and found.commit == git("rev-parse", "HEAD").decode().strip()
    assert [path.name for path in folder.iterdir()] == [STATEMENT]
    assert found.sentence() == f"this run can be rebuilt from commit {found.commit[:8]}"


def test_the_patch_and_the_unknown_files_rebuild_the_work_tree(project: Path, tmp_path: Path) -> None:
    Path("tasks/one/work.py").write_text("from tasks.one import more\nimport helper\nFACTOR = 2\n")
    Path("tasks/one/more.py").write_text("MORE = 1\n")
    Path("tasks/one/table.bin").write_bytes(b"\0\1")
    Path("helper.py").write_text("import deeper\n")
    Path("deeper.local.py").write_text("never imported\n")
    Path("deeper.py").write_text("DEEP = 1\n")
    Path("recipes/tiny.yaml").unlink()
    Path("recipes/other.yaml").write_text("not of this run\n")
    found, folder = collected()
    assert found.changed == ("recipes/tiny.yaml", "tasks/one/work.py")
    assert sorted(found.untracked) == ["deeper.py", "helper.py", "tasks/one/more.py", "tasks/one/table.bin"]
    assert found.sentence().endswith("2 changed files and 4 files that git does not know, kept with it")
    git("clone", "--quiet", ".", str(tmp_path / "clone"))
    git("-C", str(tmp_path / "clone"), "apply", "--binary", str((folder / PATCH).resolve()))
    assert "FACTOR = 2" in (tmp_path / "clone/tasks/one/work.py").read_text()
    assert not (tmp_path / "clone/recipes/tiny.yaml").exists()
    assert (folder / FILES / "tasks/one/table.bin").read_bytes() == b"\0\1"


def test_an_ignored_file_counts_if_a_stage_has_it(project: Path) -> None:
    Path("tasks/one/secret.local.py").write_text("A = 1\n")
    Path("tasks/__pycache__").mkdir()
    Path("tasks/__pycache__/x.pyc").write_text("")
    Path("notes.local.py").write_text("")
    found, _ = collected()
    assert list(found.untracked) == ["tasks/one/secret.local.py"]


def test_the_patch_of_a_project_below_the_root_names_its_own_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("mv", "-k", "tasks", "recipes", "dvc.yaml", "requirements.lock", ".")
    Path("inner").mkdir()
    for name in ("tasks", "recipes", "dvc.yaml", "requirements.lock"):
        git("mv", name, f"inner/{name}")
    git("commit", "--quiet", "-m", "two")
    Path("outer.txt").write_text("not of the project\n")
    monkeypatch.chdir("inner")
    for module in (provenance, outside):
        monkeypatch.setattr(module, "ROOT", Path.cwd())
    Path("tasks/one/work.py").write_text("FACTOR = 2\n")
    found, folder = collected()
    assert (found.folder, found.changed) == ("inner", ("tasks/one/work.py",))
    assert b"a/tasks/one/work.py" in (folder / PATCH).read_bytes()


def _far(project: Path, patch: pytest.MonkeyPatch) -> None:
    far = project.parent / "far"
    far.mkdir()
    (far / "faraway.py").write_text("")
    patch.syspath_prepend(far)
    Path("tasks/one/work.py").write_text("import faraway\n")


def _unlocked(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("tasks/one/work.py").write_text("import pyarrow\n")


def _large(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("tasks/one/work.py").write_text("x = 1\n" + f"# {' ' * (5 << 20)}\n")


def _large_file(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("tasks/one/table.bin").write_bytes(bytes(5 << 20))


def _secret(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("tasks/one/work.py").write_text(SECRET)


def _secret_file(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("tasks/one/more.py").write_text(SECRET)


def _other_library(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path("data/code").mkdir(parents=True)
    Path("data/code/one.json").write_text('{"version": 1, "libraries": {"torch": "2 installed, 1 locked", "a": "1"}}')


def _no_repository(project: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    Path(".git").rename("gone")


def _no_commit(project: Path, patch: pytest.MonkeyPatch) -> None:
    Path(".git").rename("gone")
    git("init", "--quiet")


WHY = {
    "tasks/one/work.py imports faraway from": _far,
    "tasks/one/work.py imports pyarrow, which is installed but not in requirements.lock": _unlocked,
    "its changes that are not committed are 5.0 MB; commit them": _large,
    "files that git does not know are more than 4.0 MB, tasks/one/table.bin among them": _large_file,
    "the change of tasks/one/work.py holds a password, token or signature": _secret,
    "tasks/one/more.py, which git does not know, holds a password, token or signature": _secret_file,
    "torch is 2 installed, 1 locked": _other_library,
    "this folder is not a git repository": _no_repository,
    "no commit yet": _no_commit,
}


@pytest.mark.parametrize("reason", WHY)
def test_a_run_that_cannot_be_rebuilt_says_why(reason: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WHY[reason](project, monkeypatch)
    found, folder = collected()
    assert found.rebuildable.startswith("no, because ") and reason in found.rebuildable
    assert found.sentence() == f"this run cannot be rebuilt: {'; '.join(found.reasons)}"
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"hf_aaa" not in kept and len(kept) < provenance.MOST_BYTES


def test_the_first_complete_one_stays_until_a_stage_runs_again(project: Path) -> None:
    settle("tiny", IDENTITY, registering=False)
    first, folder = collected()
    Path("tasks/one/work.py").write_text("FACTOR = 2\n")
    assert collected()[0] == first and not (folder / PATCH).exists()
    Path("dvc.lock").write_text("stages: {one@other: {cmd: x}}\n")
    assert collected()[0] == first
    Path("dvc.lock").write_text("stages: {one@tiny: {cmd: x}}\n")
    assert collected()[0].changed == ("tasks/one/work.py",)


def test_an_incomplete_one_is_replaced_once_it_can_be_complete(project: Path) -> None:
    Path("tasks/one/work.py").write_text(SECRET)
    assert collected()[0].reasons
    git("checkout", "--quiet", ".")
    assert collected()[0].rebuildable == "yes"


def test_what_the_training_knew_stays_if_the_registration_knows_less(project: Path) -> None:
    known = settle("tiny", IDENTITY, registering=False)
    Path(".git").rename("gone")
    found, folder = collected()
    assert (found.rebuildable, found.commit) == ("yes", known.commit)
    assert json.loads((folder / STATEMENT).read_text())["rebuildable"] == "yes"


def test_it_imports_nothing_that_it_looks_at(project: Path) -> None:
    Path("tasks/one/work.py").write_text("import antigravity_of_tests\n")
    Path("antigravity_of_tests.py").write_text("raise SystemExit\n")
    assert list(collected()[0].untracked) == ["antigravity_of_tests.py"]
    assert "antigravity_of_tests" not in sys.modules
