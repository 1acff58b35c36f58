"""The graph comes from dvc.yaml through DVC; errors in it are one sentence."""

import shutil
from pathlib import Path

import pytest

from flows.graph import changes, read_graph
from tasks.stage.errors import GristmillError


def test_stages_stand_behind_those_whose_outputs_they_need_of_other_recipes_too(toy):
    nodes = {node.address: node for node in read_graph("child")}
    assert list(nodes) == ["first@toy", "second@toy", "first@child", "second@child"]
    assert nodes["first@child"].upstream == ("second@toy",)
    assert (nodes["second@child"].stage, nodes["second@child"].recipe) == ("second", "child")
    assert "data/child/second" in nodes["second@child"].outs
    assert [node.address for node in read_graph("toy")] == ["first@toy", "second@toy"]


def test_changes_name_the_stages_and_the_reasons(toy):
    assert "recipes/toy.yaml" in changes(["first@toy"])["first@toy"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda: shutil.rmtree(".git"), "run `git init`"),
        (lambda: shutil.rmtree(".dvc"), ".dvc: not found"),
        (lambda: Path("dvc.yaml").unlink(), "dvc.yaml: not found"),
        (lambda: Path("dvc.yaml").write_text("stages: ["), "dvc.yaml.*line 2"),
        (
            lambda: Path("dvc.yaml").write_text("vars: [recipes: {a: {}}]\nstages: {}\n"),
            "vars.recipes: toy is missing",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(toy, spoil, sentence):
    spoil()
    with pytest.raises(GristmillError, match=sentence) as told:
        read_graph("toy")
    assert "\n" not in str(told.value)
