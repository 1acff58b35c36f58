"""A pretrained recipe (below) feeds a fine-tuned one (above) in DVC's graph: changes below rerun stages above, but not
the other way round."""

import json
from pathlib import Path

import pytest

from flows.graph import changes, read_graph
from tasks.formats.origin import FromRecipe
from tasks.recipe import load
from tasks.stage.identity import hash_tree
from tests.families import tiny_recipe, write_source
from tests.scratch import ROOT, STAGES, command, make_project, run_stages, without_tracking


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both recipes after all stages, committed to DVC."""
    root = tmp_path_factory.mktemp("chain")
    recipes = {name: root / f"{name}.yaml" for name in ("below", "above")}
    recipes["below"].write_text(json.dumps(tiny_recipe("masked-lm", "texts/all.jsonl")))
    recipes["above"].write_text(json.dumps(tiny_recipe("classification", "texts/all.jsonl", init="recipe:below")))
    folder = make_project(root / "project", recipes, above="data/below/model")
    graph = folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("source: data/code/ingest.json", "source: texts"))
    write_source(folder / "texts/all.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        without_tracking(patch)
        for name in recipes:
            run_stages(name)
    command(folder, "dvc", "commit", "--force", "--quiet")
    return folder


def edit(folder: Path, name: str, steps: int) -> None:
    path = folder / f"recipes/{name}.yaml"
    recipe = json.loads(path.read_text())
    recipe["train"]["steps"] = steps
    path.write_text(json.dumps(recipe))


def stale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.chdir(folder)
    return set(changes([node.address for node in read_graph("above")]))


@pytest.mark.slow
def test_the_graph_leads_from_one_to_the_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stale(project, monkeypatch) == set()
    nodes = {node.address: node for node in read_graph("above")}
    assert {address.partition("@")[2] for address in nodes} == {"below", "above", ""}
    assert nodes["train@below"].upstream == ("base@below", "code", "tokenize@below")
    assert nodes["base@above"].upstream == ("code", "train@below")
    assert {node.recipe for node in read_graph("below")} == {"below", ""}
    assert "train@below" in command(project, "dvc", "dag", "base@above").stdout


@pytest.mark.slow
def test_changing_what_is_above_touches_nothing_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(project, "above", 7)
    assert stale(project, monkeypatch) == {"train@above"}
    edit(project, "above", 6)
    assert stale(project, monkeypatch) == set()


@pytest.mark.slow
def test_changing_what_is_below_trains_what_is_above_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_tree(project / "data/above/model")
    edit(project, "below", 8)
    assert stale(project, monkeypatch) == {"train@below"}
    said = command(project, "dvc", "repro", "train@above", MLFLOW_TRACKING_URI="http://127.0.0.1:9").stdout
    ran = [stage for stage in STAGES for name in ("below", "above") if f"Running stage '{stage}@{name}'" in said]
    assert ran == ["base", "tokenize", "train", "train"]  # tokenize too: it reads the base's tokenizer
    assert hash_tree(project / "data/above/model") != before


def test_no_shipped_recipe_is_scored_on_what_its_base_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash of seed and name maps each group to [0, 1); the lowest are the test split, so equal seeds nest splits."""
    monkeypatch.chdir(ROOT)
    recipes = [load(path.stem) for path in sorted(Path("recipes").glob("*.yaml"))]
    chains = [(recipe, load(start.name)) for recipe in recipes if isinstance(start := recipe.model.init, FromRecipe)]
    assert chains
    for above, below in chains:
        assert below.clean.splits.seed == above.clean.splits.seed
        assert below.clean.splits.test >= above.clean.splits.test
