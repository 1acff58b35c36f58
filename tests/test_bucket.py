"""Data in a bucket: texts come from one and grow there, what was made of them goes to one, under real DVC."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.buckets import BUCKET
from tests.clean.corpus import contents
from tests.scratch import command, make_project

if TYPE_CHECKING:
    from s3fs import S3FileSystem

RECIPE = """
task: causal-lm
ingest: {kind: files, files: ["texts/*.txt"], licence: CC0}
validate: {}
clean: {splits: {validation: 0.3, test: 0.3}}
tokenize: {vocab_size: 300}
model: {init: scratch, architecture: llama, config: {hidden_size: 32}}
train: {steps: 1, context_length: 16, batch_size: 1}
evaluate: {window: 16, stride: 16}
register: {}
"""


@pytest.mark.slow
def test_texts_come_from_a_bucket_and_results_go_to_one(tmp_path: Path, bucket: "S3FileSystem") -> None:
    for number in range(20):
        bucket.pipe(f"{BUCKET}/texts/{number}.txt", f"The text of the object {number}.\n".encode())
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    project = make_project(tmp_path / "project", {"mine": recipe})
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("mine: *alone", "mine: {<<: *alone, source: texts}"))

    def dvc(*arguments: str, folder: Path = project) -> str:
        return command(folder, "dvc", *arguments, **aws).stdout

    dvc("import-url", f"s3://{BUCKET}/texts", "texts")
    dvc("remote", "add", "--default", "store", f"s3://{BUCKET}/dvc")
    dvc("repro", "clean@mine")
    bucket.pipe(f"{BUCKET}/texts/new.txt", b"A new object has come.\n")
    assert "didn't change" in dvc("repro", "clean@mine")
    dvc("update", "texts.dvc")
    dvc("repro", "clean@mine")
    dvc("push")
    made = contents(project / "data" / "mine" / "clean")
    command(project, "git", "add", "--all")
    command(project, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")
    command(tmp_path, "git", "clone", "-q", str(project), "clone")
    dvc("pull", "clean@mine", folder=tmp_path / "clone")
    assert contents(tmp_path / "clone" / "data" / "mine" / "clean") == made
    assert (tmp_path / "clone/data/mine/clean/report.json").read_text().count('"documents": 21') >= 1
