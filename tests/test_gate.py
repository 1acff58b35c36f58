"""Who becomes champion, on a tiny recipe through real DVC, git and MLflow: one version after another."""

import json
import random
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.register.champion import promote
from tasks.register.history import history
from tasks.register.noise import Spread, keep_spread
from tasks.register.registration import run
from tasks.register.rollback import rollback
from tasks.stage.run import run as run_stage
from tests.families import tiny_recipe, write_source
from tests.register import empty_database
from tests.scratch import STAGES, command, make_project, without_tracking

Story = dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Five versions of one recipe, registered one after another; the registration of each step, by its name."""
    root = tmp_path_factory.mktemp("gate")
    recipe = tiny_recipe("causal-lm", "texts/all.jsonl", steps=20)
    source = root / "tiny.yaml"
    source.write_text(json.dumps(recipe))
    folder = make_project(root / "project", {"tiny": source})
    graph = folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("source: data/code/ingest.json", "source: texts"))
    write_source(folder / "texts/all.jsonl")
    (folder / "mlflow.db").write_bytes(empty_database())
    for arguments in (["config", "user.name", "Ada"], ["config", "user.email", "ada@example.org"], ["add", "-A"],
                      ["commit", "-qm", "first"]):  # fmt: skip
        command(folder, "git", *arguments)

    def write(**changed: Any) -> None:
        for name, values in changed.items():
            recipe[name] |= values
        (folder / "recipes/tiny.yaml").write_text(json.dumps(recipe))

    def take(**changed: Any) -> dict[str, Any]:
        """Through DVC, in processes of their own, as a flow does it."""
        write(**changed)
        command(folder, "dvc", "repro", "--quiet", "evaluate@tiny", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
        return run("tiny")

    def take_here(stages: Sequence[str] = ("train", "evaluate"), **changed: Any) -> dict[str, Any]:
        """Quicker: some stages in this process."""
        write(**changed)
        with pytest.MonkeyPatch.context() as patch:
            without_tracking(patch)
            for stage in stages:
                run_stage(import_module(f"tasks.{stage}.__main__").STAGE, "tiny")
        return run("tiny")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        found: Story = {"folder": folder}
        found["first"] = take()
        found["better"] = take_here(train={"steps": 120})
        keep_spread(MlflowClient(), "tiny", Spread("bits_per_byte", 2.0, 0.05, 5, "", "", "2026-11-27T12:00:00Z", {}))
        found["cannot tell"] = take_here(train={"seed": 1})
        found["again"] = run("tiny")
        write(register={"margin": 0.5, "on_tie": "newest"})
        found["tie"] = run("tiny")
        found["guard"] = take_here(
            train={"steps": 110, "seed": 2},
            register={"margin": 9.0, "guards": [{"metric": "loss"}, {"by": "length", "tolerance": 5.0}]},
            model={"config": {**recipe["model"]["config"], "hidden_size": 4, "num_attention_heads": 1}},
        )
        grow(folder / "texts/all.jsonl")
        model = {"config": {**recipe["model"]["config"], "hidden_size": 32, "num_attention_heads": 2}}
        found["grown"] = take_here(
            STAGES[1:], train={"steps": 240}, register={"margin": 0.0, "on_tie": "keep", "guards": []}, model=model
        )
        found["grown again"] = run("tiny")
        yield found


def grow(path: Path) -> None:
    """Add documents in new groups, made of the words of the old ones."""
    words = sorted({word for line in path.read_text().splitlines() for word in json.loads(line)["text"].split()})
    generator = random.Random(1)
    with path.open("a") as file:
        for number in range(60):
            row = {
                "text": " ".join(generator.choices(words, k=7)),
                "group": f"h{number % 15}",
                "target": "x",
                "label": "odd",
            }
            file.write(json.dumps(row) + "\n")


def test_the_first_version_reigns_and_a_better_one_replaces_it(story: Story) -> None:
    assert (story["first"]["alias"], story["first"]["verdict"]) == ("champion", None)
    better = story["better"]
    assert (better["alias"], better["version"], better["verdict"]["verdict"]) == ("champion", 2, "better")
    assert better["verdict"]["low"] > 0 and better["verdict"]["against"] == 1
    assert better["reason"].startswith("better: bits_per_byte ") and " of version 1, a gain of " in better["reason"]
    assert "on 20 documents in 5 groups" in better["reason"] and better["reason"].endswith(
        "decision 1 on this test text"
    )


def test_where_the_text_cannot_tell_the_champion_stays(story: Story) -> None:
    found = story["cannot tell"]
    assert (found["alias"], found["champion"], found["verdict"]["verdict"]) == ("challenger", 2, "cannot tell")
    assert found["verdict"]["low"] < 0 < found["verdict"]["high"] and found["verdict"]["detectable"] > 0.1
    assert "with the spread of 5 seeds" in found["reason"]
    assert {**story["again"], "new": True} == {**found, "new": True}


def test_of_equals_within_the_margin_the_newest_reigns_if_the_recipe_says_so(story: Story) -> None:
    found = story["tie"]
    assert (found["alias"], found["version"], found["new"]) == ("champion", 3, False)
    assert found["reason"].startswith("a tie within register.margin 0.5, and the newest reigns: ")


def test_a_worse_version_within_a_huge_margin_is_stopped_by_a_guard(story: Story) -> None:
    found = story["guard"]
    assert (found["alias"], found["champion"], found["verdict"]["verdict"]) == ("challenger", 3, "worse")
    assert found["reason"].startswith("stopped by a guard: loss: ") and "worst documents: " in found["reason"]
    (stopped,) = found["verdict"]["stopped_by"]
    assert "length" not in stopped


def test_on_a_grown_test_text_the_champion_is_scored_again_and_once(story: Story) -> None:
    found = story["grown"]
    assert found["verdict"]["rescored"] and found["verdict"]["documents"] > story["tie"]["verdict"]["documents"]
    assert found["verdict"]["decisions"] == 1  # of a new test text
    client = MlflowClient()
    champion = client.get_model_version("tiny", "3")
    (kept,) = client.list_artifacts(champion.run_id or "", "rescored")
    names = {Path(item.path).name for item in client.list_artifacts(champion.run_id or "", kept.path)}
    assert names == {"scores.parquet", "metrics.json"}
    assert {**story["grown again"], "new": True} == {**found, "new": True}


def test_the_figures_and_the_page_are_kept_with_the_run(story: Story) -> None:
    client, run_id = MlflowClient(), story["guard"]["run_id"]
    assert {item.path for item in client.list_artifacts(run_id, "compare")} == {"compare/against-version-3.html"}
    kept = json.loads(Path(client.download_artifacts(run_id, "gate/against-version-3.json")).read_text())
    assert kept["verdict"] == story["guard"]["verdict"]
    assert {guard["outcome"] for guard in kept["guards"]} == {"broken", "kept"}
    assert kept["guards"][0]["worst"]


def test_the_history_tells_every_decision_with_its_figures(story: Story) -> None:
    told = history("tiny")
    assert told.faults == ()
    moves = [(event.event, event.version, event.before, event.after) for event in told.ledger.events]
    grown = ("promoted", 5, 3, 5) if story["grown"]["alias"] == "champion" else ("refused", 5, 3, 3)
    assert [move for move in moves if move[0] != "registered"] == [
        ("promoted", 1, None, 1), ("promoted", 2, 1, 2), ("refused", 3, 2, 2), ("promoted", 3, 2, 3),
        ("refused", 4, 3, 3), grown,
    ]  # fmt: skip
    assert [move[1] for move in moves if move[0] == "registered"] == [1, 2, 3, 4, 5]
    event = told.ledger.events[3]
    assert event.person == "Ada <ada@example.org>" and event.run == story["better"]["run_id"] and event.commit
    assert event.verdict is not None and event.verdict["gain"] == story["better"]["verdict"]["gain"]


def test_rollback_promotion_and_a_hand_in_the_pages_are_written_down(story: Story) -> None:
    client = MlflowClient()
    now = int(client.get_model_version_by_alias("tiny", "champion").version)
    before = {5: 3, 3: 2}[now]
    assert f"version {before}" in rollback("tiny", None, "it answered in capitals")
    assert int(client.get_model_version_by_alias("tiny", "champion").version) == before
    assert run("tiny")["champion"] == before  # an unchanged recipe does not take it back
    promote("tiny", 4, "for a test of its speed")
    client.set_registered_model_alias("tiny", "champion", "1")
    run("tiny")
    last = [(event.event, event.after, event.reason) for event in history("tiny").ledger.events if event.moves][-3:]
    assert last == [
        ("rolled back", before, "it answered in capitals"),
        ("promoted by hand", 4, "for a test of its speed"),
        ("moved by hand", 1, "the alias was moved in MLflow"),
    ]
    assert "version 4 promoted by hand" in (client.get_registered_model("tiny").description or "")
