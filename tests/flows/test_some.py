"""Recipes with sections that others lack, and their lines in dvc.yaml."""

import json
import shutil
from pathlib import Path

import pytest

from flows.recipes import check, load_graph, variable
from flows.rewire import new_recipe, remove_recipe, rename_recipe
from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_yaml
from tests.scratch import TINY, command, make_project

SECTIONS = {"compress": {"int8": {"method": "quantize"}}, "export": {"onnx": {}}}
LISTS = {"compress": "compressed", "export": "exported"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the recipes `tiny` and `small`; `small` has both sections."""
    recipes = {name: tmp_path / f"{name}.yaml" for name in ("tiny", "small")}
    shutil.copy(TINY, recipes["tiny"])
    recipes["small"].write_text(json.dumps({**read_yaml(TINY), **SECTIONS}))
    monkeypatch.chdir(make_project(tmp_path / "project", recipes))
    return tmp_path


def listed() -> dict[str, dict]:
    return {section: variable(load_graph(), key) for section, key in LISTS.items()}


def stages(recipe: str) -> set[str]:
    named = command(Path(), "dvc", "stage", "list", "--name-only").stdout.split()
    return {name.partition("@")[0] for name in named if name.endswith(f"@{recipe}")}


def test_a_recipe_has_the_stages_of_its_sections(project: Path) -> None:
    check("tiny")
    check("small")
    assert stages("small") - stages("tiny") == {"compress", "measure", "export"}


def test_a_copy_has_them_too_and_without_the_last_recipe_the_lists_are_empty(project: Path) -> None:
    new_recipe("copy", "small")
    assert listed() == {key: {"small": {}, "copy": {}} for key in LISTS}
    check("copy")
    rename_recipe("copy", "other")
    assert listed() == {key: {"small": {}, "other": {}} for key in LISTS}
    remove_recipe("other")
    remove_recipe("small")
    assert listed() == {key: {} for key in LISTS}
    assert "compress" not in stages("tiny")
    Path("recipes/tiny.yaml").write_text(json.dumps({**read_yaml(TINY), **SECTIONS}))
    new_recipe("again", "tiny")
    graph = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(graph.replace("compressed: {}", "compressed:\n      again: {}"))
    assert listed()["compress"] == {"again": {}}


@pytest.mark.parametrize("section", LISTS)
def test_a_section_without_its_line_and_a_line_without_its_section_are_told(project: Path, section: str) -> None:
    key, recipe = LISTS[section], read_yaml(Path("recipes/small.yaml"))
    Path("recipes/tiny.yaml").write_text(json.dumps({**read_yaml(TINY), section: SECTIONS[section]}))
    with pytest.raises(RecipeError, match=rf"vars.{key}: the recipe has a section {section}; write `tiny: {{}}` there"):
        check("tiny")
    del recipe[section]
    Path("recipes/small.yaml").write_text(json.dumps(recipe))
    with pytest.raises(RecipeError, match=rf"vars.{key}.small: recipes/small.yaml has no section {section}; remove"):
        check("small")


def test_a_graph_from_before_says_what_to_copy(project: Path) -> None:
    graph = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(graph[: graph.index("\n  compress:\n")] + "\n")
    with pytest.raises(RecipeError, match=r"the stage `compress` is missing; copy `stages` from the dvc.yaml"):
        check("small")
    check("tiny")
