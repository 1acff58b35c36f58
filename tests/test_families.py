"""Every task end to end, from a file to metrics; and a recipe that starts from another recipe's model."""

import json
from pathlib import Path

import pytest

from tasks.compress.__main__ import STAGE as COMPRESS
from tasks.evaluate.rescore import rescore
from tasks.recipe import load
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tasks.stage.task import CHATS, FAMILIES, TASKS
from tests.families import tiny_recipe
from tests.scratch import run_stages


@pytest.fixture
def project(families_project: Path) -> Path:
    return families_project


def take(name: str, recipe: dict) -> Path:
    """Run all stages of a recipe; returns its folder."""
    Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))
    load(name)
    return run_stages(name)


@pytest.mark.parametrize("task", TASKS)
def test_a_recipe_of_every_task_comes_to_its_metrics(project: Path, task: str) -> None:
    variants = {name: {"method": "quantize", "weights": name, "calibration": 16} for name in ("int8", "int4")}
    folder = take("tiny", {**tiny_recipe(task, "texts/all.jsonl"), "compress": variants})
    metrics = json.loads((folder / "evaluation/metrics.json").read_text())
    made = run(COMPRESS, "tiny").details
    assert made["variants"]["int4"]["bytes"] < made["variants"]["int8"]["bytes"] < made["bytes"]
    small = rescore("tiny", folder / "variants/int8", project / "scored") if task not in CHATS else metrics
    for metric, baselines in FAMILIES[task].metrics.items():
        assert isinstance(metrics[metric], float)
        assert small[metric] == pytest.approx(metrics[metric], rel=0.1, abs=0.1)
        assert all(f"{name}_{metric}" in metrics for name in baselines if name != "base")
    assert metrics["signature"].startswith(f"task:{task}|")
    assert json.loads((folder / "evaluation/samples.json").read_text())


def test_a_causal_model_learns_pairs_from_scratch_and_from_a_base(project: Path) -> None:
    """Texts end with the same token either way: added by a learned tokenizer itself, or appended to a base's output."""
    from tasks.formats.tokens import TARGET, Tokens
    from tasks.formats.usage import read_usage

    scratch = take("scratch", tiny_recipe("translation", "texts/all.jsonl", like="causal-lm"))
    take("base", tiny_recipe("causal-lm", "texts/all.jsonl"))
    folder = take("tuned", tiny_recipe("summarization", "texts/all.jsonl", init="recipe:base", steps=20))
    for made, closed in ((scratch, False), (folder, True)):
        train = made / "tokens/train"
        sides = Tokens.open(train), Tokens.open(train / TARGET)
        end = sides[0].index.eos_token_id
        for side in sides:
            assert all(side.document(n)[-1] == end and end not in side.document(n)[:-1] for n in range(20))
        assert read_usage(made / "model").closing == (end if closed else None)
        metrics = json.loads((made / "evaluation/metrics.json").read_text())
        history = (made / "training/history.csv").read_text().split()
        assert metrics["loss"] < float(history[1].split(",")[2])
        assert json.loads((made / "model/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
        assert metrics["loss"] == pytest.approx(loss_one_by_one(made), rel=1e-4)


def test_preferences_turn_a_chat_model_around(project: Path) -> None:
    """The chat model answers in capitals, in reverse order; now the text as it is becomes the better answer."""
    take("talk", tiny_recipe("chat", "texts/all.jsonl", steps=20))
    recipe = tiny_recipe("preference", "texts/all.jsonl", init="recipe:talk", steps=40, loss={"name": "dpo"})
    recipe["ingest"]["documents"] |= {"chosen_column": "rejected", "rejected_column": "target"}
    metrics = json.loads((take("prefer", recipe) / "evaluation/metrics.json").read_text())
    assert metrics["base_preference_accuracy"] < 0.3 and metrics["preference_accuracy_low"] > 0.8
    assert metrics["preference_margin_low"] > 1 and metrics["bits_per_byte"] != metrics["base_bits_per_byte"]


def loss_one_by_one(folder: Path) -> float:
    """The loss of the test split's targets given their texts, one pair at a time, in nats per token."""
    import torch
    import transformers

    from tasks.formats.tokens import TARGET, Tokens

    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    texts, targets = Tokens.open(folder / "tokens/test"), Tokens.open(folder / "tokens/test" / TARGET)
    total, count = 0.0, 0
    for number in range(texts.index.documents):
        text, target = texts.document(number), targets.document(number)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*text, *target]])).logits[0, len(text) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum"))
        count += len(target)
    return total / count


def test_all_outputs_are_the_same_bytes_every_time(project: Path) -> None:
    folder = take("tiny", tiny_recipe("translation", "texts/all.jsonl"))
    before = hash_tree(folder / "model"), hash_tree(folder / "evaluation")
    take("tiny", tiny_recipe("translation", "texts/all.jsonl"))
    assert (hash_tree(folder / "model"), hash_tree(folder / "evaluation")) == before


def test_no_group_is_on_both_sides_of_a_split(project: Path) -> None:
    from tasks.formats.corpus import read_batches

    folder = take("tiny", tiny_recipe("classification", "texts/all.jsonl"))
    groups = {
        split: {group for batch in read_batches(folder / "clean" / split) for group in batch["group"].to_pylist()}
        for split in ("train", "validation", "test")
    }
    assert all(groups.values())
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]


def test_a_causal_model_is_scored_before_and_after_fine_tuning(project: Path) -> None:
    take("first", tiny_recipe("causal-lm", "texts/all.jsonl"))
    tuned = tiny_recipe("causal-lm", "texts/all.jsonl", init="recipe:first", steps=30)
    folder = take("second", tuned)
    metrics = json.loads((folder / "evaluation/metrics.json").read_text())
    first = json.loads(Path("data/first/evaluation/metrics.json").read_text())
    assert metrics["base_perplexity"] == pytest.approx(first["perplexity"], rel=1e-4)
    assert metrics["perplexity"] < metrics["base_perplexity"]
