"""`make test-slow`: every shipped recipe that needs no account, with real data in small, from source to champion."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks.formats.origin import FromRecipe
from tasks.recipe import load
from tasks.stage.settings import read_yaml
from tasks.stage.task import FAMILIES
from tests.scratch import ROOT, command, make_project

pytestmark = pytest.mark.slow
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.startswith("hub-"))


def in_small(recipe: dict[str, Any]) -> dict[str, Any]:
    """The same with a few steps and a small part held out."""
    train: dict[str, Any] = {**recipe["train"], "steps": 4, "evaluate_every": 4, "checkpoint_every": 4}
    train.pop("epochs", None)
    train["evaluation_tokens" if "context_length" in train else "evaluation_documents"] = 64
    split = {"validation": 0.01, "test": 0.004} if recipe["task"] != "causal-lm" else recipe["clean"]["splits"]
    generation = {}
    if "generation" in recipe["evaluate"]:
        generation = {"generation": {**recipe["evaluate"]["generation"], "max_new_tokens": 4}}
    register = {"register": {}}  # four steps beat nothing
    small = {"train": train, "clean": {**recipe["clean"], "splits": split}}
    return {**recipe, **small, "evaluate": {**recipe["evaluate"], **generation}, **register}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_comes_to_a_champion_that_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    wanted = [name]
    while isinstance(start := load(wanted[0]).model.init, FromRecipe):
        wanted.insert(0, start.name)
    made = tmp_path / "made"
    made.mkdir()
    for each in wanted:
        (made / f"{each}.yaml").write_text(json.dumps(in_small(read_yaml(ROOT / "recipes" / f"{each}.yaml"))))
    starts = {above: f"data/{below}/model" for below, above in pairwise(wanted)}
    folder = make_project(tmp_path / "project", {each: made / f"{each}.yaml" for each in wanted}, **starts)
    command(folder, "gristmill", "run", name)
    task = json.loads((made / f"{name}.yaml").read_text())["task"]
    metrics = json.loads((folder / "data" / name / "evaluation/metrics.json").read_text())
    assert set(FAMILIES[task].metrics) <= set(metrics)
    text = "A library for [MASK] images." if task == "masked-lm" else "A library for reading images."
    assert json.loads(command(folder, "gristmill", "predict", name, "--json", text).stdout)["input"] == text
