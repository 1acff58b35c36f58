"""`gristmill reproduce` on a real run: made from changes that were never committed, rebuilt in a clean work tree."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from flows.reproduce.judge import DIFFERENT, SAME, UNKNOWN
from flows.reproduce.tell import exit_code, lines, summary
from flows.reproduce.work import Asked, Reproduction, reproduce
from tasks.register.reproduction import REPRODUCED, log_verdict
from tasks.stage.errors import GristmillError
from tests.register import empty_database
from tests.scratch import ROOT, STAGES, TINY, environment, make_project

PLAYS = ("macbeth", "a-midsummer-night-s-dream", "the-comedy-of-errors")
MAKE = """
import importlib, subprocess, sys
from tasks.code.versions import write_versions
from tasks.register.registration import run as register
from tasks.stage.run import run
write_versions()
for stage in sys.argv[1:]:
    run(importlib.import_module(f"tasks.{stage}.__main__").STAGE, "tiny")
subprocess.run([sys.executable, "-m", "dvc", "commit", "--quiet", "--force"], check=True)
register("tiny")
"""


def git(folder: Path, *arguments: str) -> None:
    user = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *user, *arguments], cwd=folder, check=True, capture_output=True)


def write_texts(folder: Path) -> None:
    """Three small texts with several documents each."""
    folder.mkdir()
    for number, play in enumerate(PLAYS):
        scenes = [
            f"# Scene {scene}\n\n" + " ".join(f"The {word} of {play} has {scene * word} words." for word in range(60))
            for scene in range(1 + number, 9 + number)
        ]
        (folder / f"{play}.md").write_text("\n\n".join(scenes) + "\n")


def local_recipe() -> str:
    """The tiny recipe on a folder of the project, with a few steps."""
    text = TINY.read_text(encoding="utf-8")
    source = "ingest:\n  kind: files\n  licence: MIT\n  files: [texts/*.md]\n  documents: {split_at: '^#{1,6} '}\n\n"
    text = re.sub(r"ingest:\n.*?\n\n", source, text, flags=re.DOTALL)
    text = re.sub(r"steps: 30", "steps: 8\n  log_every: 2", text)
    text = re.sub(r"vocab_size: 512", "vocab_size: 320", text)
    return re.sub(r"evaluate_every: 15", "evaluate_every: 4", text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a registered run of changed code and an unknown module, both taken back since; do not modify."""
    folder = make_project(tmp_path_factory.mktemp("reproduce") / "project")
    (folder / "recipes/tiny.yaml").write_text(local_recipe())
    graph = folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("tiny: *alone", "tiny: {<<: *alone, source: texts}"))
    write_texts(folder / "texts")
    (folder / ".gitignore").write_text((folder / ".gitignore").read_text() + "/texts\n")
    shutil.copytree(ROOT / "infra", folder / "infra")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "one")
    (folder / "mlflow.db").write_bytes(empty_database())

    loop = folder / "tasks/train/loop.py"
    changed = loop.read_text().replace('["lr"] = rate * factor', '["lr"] = rate * factor * HALF')
    assert "factor * HALF" in changed
    loop.write_text(changed.replace("import math\n", "import math\n\nfrom tasks.train.unknown import HALF\n"))
    (folder / "tasks/train/unknown.py").write_text("HALF = 0.5\n")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, *STAGES], cwd=folder, capture_output=True, text=True,
        env=environment(folder, GRISTMILL_DEVICE="cpu"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        "can be rebuilt from commit" in done.stderr
        and "1 changed file and 1 file that git does not know" in done.stderr
    )
    git(folder, "checkout", "--quiet", "tasks")
    (folder / "tasks/train/unknown.py").unlink()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that project; the working directory, and that of the programs which it starts."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True)
    for name in ("MLFLOW_TRACKING_URI", "GRISTMILL_STOP_AFTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".dvc/site"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(folder)
    yield folder
    assert not list(tmp_path.glob("gristmill-*"))
    shutil.rmtree(folder)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def again(project: Path, said: list[str]) -> Callable[..., Reproduction]:
    """Reproduce in this process."""
    return lambda run="tiny", **more: reproduce(Asked(run, **more), said.append)


def verdicts(found: Reproduction) -> dict[str, str]:
    return {verdict.stage: verdict.verdict for verdict in found.verdicts}


def the_run() -> object:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


@pytest.mark.slow
def test_a_run_of_changes_that_were_never_committed_is_rebuilt_byte_for_byte(
    again: Callable[..., Reproduction], project: Path
) -> None:
    shutil.rmtree(project / ".dvc/cache")  # every stage reads what was reproduced
    shutil.rmtree(project / "data")
    before = subprocess.check_output(["git", "status", "--porcelain"], cwd=project)
    found = again()
    assert verdicts(found) == dict.fromkeys(STAGES, SAME), "\n".join(lines(found))
    assert [verdict.notes for verdict in found.verdicts] == [[]] * len(STAGES)
    assert (exit_code(found), found.whole) == (0, True)
    log_verdict(found.recorded, {"same": True}, summary(found), found.whole)
    run = the_run()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, byte for byte, on .+", run.data.tags[REPRODUCED])
    assert run.data.tags["gristmill.rebuildable"] == "yes"
    (artifact,) = MlflowClient().list_artifacts(run.info.run_id, "reproductions")
    assert artifact.path.endswith(".json")
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=project) == before
    assert not (project / "data").exists() and not (project / ".dvc/cache").exists()


def test_a_changed_source_names_the_stage_and_the_document(again: Callable[..., Reproduction], project: Path) -> None:
    text = project / "texts/macbeth.md"
    text.write_text(text.read_text().replace("The 7 of macbeth", "The 7 of Macbeth", 1))
    found = again(stages=("ingest",))
    (ingest,) = found.verdicts
    assert (ingest.verdict, exit_code(found)) == (DIFFERENT, 1)
    assert re.match(
        r"data/tiny/raw: part-00000.parquet: document \S*macbeth\S*, text: .+ \(character \d+\)", ingest.sentence
    )
    assert ingest.notes == [
        "texts is not what the run read, and no cache has that; it was taken from the project as it is now"
    ]


def test_a_damaged_copy_of_a_document_is_named(again: Callable[..., Reproduction], project: Path) -> None:
    (listing,) = [item for item in locked(project, "ingest") if item["path"] == "data/tiny/raw"]
    files = json.loads(cached(project, listing["md5"]).read_text())
    shard = cached(project, next(item["md5"] for item in files if item["relpath"].endswith(".parquet")))
    for path in (shard, project / "data/tiny/raw/part-00000.parquet"):
        content = bytearray(path.read_bytes())
        column = pq.ParquetFile(path).metadata.row_group(0).column(2)
        assert column.path_in_schema == "text"
        content[column.data_page_offset + 150] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
    found = again(stages=("ingest",))
    (ingest,) = found.verdicts
    assert (ingest.verdict, exit_code(found)) == (SAME, 1)
    assert len(ingest.damaged) == 2 and all("part-00000.parquet" in told for told in ingest.damaged)
    assert "in DVC's cache is damaged" in ingest.damaged[0] and re.search(
        r"documents? \S*midsummer\S*,? .*text: ", ingest.damaged[0]
    )
    assert "in this folder is not what dvc.lock says" in ingest.damaged[1]
    lost = again(stages=("validate",))
    assert verdicts(lost) == {"validate": UNKNOWN} and exit_code(lost) == 2
    assert "its input data/tiny/raw is gone: the copy in DVC's cache is damaged" in lost.verdicts[0].sentence


@pytest.mark.slow
def test_the_first_steps_are_those_of_the_history(again: Callable[..., Reproduction], project: Path) -> None:
    found = again(steps=5)
    assert verdicts(found) == {"train": SAME} and exit_code(found) == 0
    assert "2 rows of its history up to step 4, to the last digit" in found.verdicts[0].sentence
    assert "train up to step 4 to the last digit" in summary(found)
    with pytest.raises(GristmillError, match="--steps 1: the first row of the recorded history is of step 2"):
        again(steps=1)


def _no_run(project: Path) -> str:
    return "0123456789abcdef"


def _other_project(project: Path) -> str:
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")
    return "tiny"


def _no_commit(project: Path) -> str:
    run = the_run()
    MlflowClient().delete_tag(run.info.run_id, "mlflow.source.git.commit")
    shutil.rmtree(next(project.glob("mlruns/*/*/artifacts/provenance")))
    return str(run.info.run_id)


def _no_lock(project: Path) -> str:
    next(project.glob("mlruns/*/*/artifacts/dvc.lock")).unlink()
    return "tiny:1"


BAD = {
    "0123456789abcdef: MLflow has no such run": _no_run,
    "tiny:1: its commit [0-9a-f]{12} is not in this repository; run `git fetch`": _other_project,
    "tiny:1: its run records no git commit, so it cannot be rebuilt": _no_commit,
    "tiny:1: its run has no dvc.lock or recipe among its artifacts": _no_lock,
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_run_that_this_project_cannot_rebuild_gets_one_sentence(
    sentence: str, again: Callable[..., Reproduction], project: Path
) -> None:
    with pytest.raises(GristmillError, match=sentence):
        again(BAD[sentence](project))


def test_what_cannot_be_asked_gets_one_sentence(again: Callable[..., Reproduction]) -> None:
    with pytest.raises(GristmillError, match=r"no stage 'trian' \(available: base, ingest"):
        again(stages=("trian",))
    with pytest.raises(GristmillError, match="--stages and --from"):
        again(stages=("train",), start="train")
    with pytest.raises(GristmillError, match="only a training has steps"):
        again(steps=4, start="evaluate")


def test_a_deleted_recipe_is_rebuilt_from_its_run(again: Callable[..., Reproduction], project: Path) -> None:
    (project / "recipes/tiny.yaml").unlink()
    (project / "dvc.lock").unlink()
    assert verdicts(again("tiny:1", stages=("base",))) == {"base": SAME}


def test_an_environment_that_cannot_be_set_up_is_told_for_every_stage(
    again: Callable[..., Reproduction], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    monkeypatch.setattr("flows.reproduce.environment.differing", lambda _: iter(["torch 9 locked, 2 installed"]))
    monkeypatch.setattr("sys._base_executable", "/nowhere/python3", raising=False)
    found = again()
    assert set(verdicts(found).values()) == {UNKNOWN} and exit_code(found) == 2
    assert "its environment cannot be set up: /nowhere/python3: not found" in found.verdicts[0].sentence


def locked(project: Path, stage: str) -> list[dict[str, str]]:
    from tasks.stage.settings import read_yaml

    return list(read_yaml(project / "dvc.lock")["stages"][f"{stage}@tiny"]["outs"])


def cached(project: Path, md5: str) -> Path:
    return project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
