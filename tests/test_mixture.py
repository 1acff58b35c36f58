"""A recipe with several sources, through all stages."""

import json
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.compare.slices import slices
from tasks.evaluate.rescore import rescore
from tasks.formats.corpus import read_batches
from tasks.formats.tokens import Tokens, read_parts
from tasks.profile.measure import measure
from tasks.register.card import model_card
from tasks.register.results import read_results
from tasks.register.sync_run import scores
from tasks.stage.errors import DataError, GristmillError
from tasks.stage.run import run
from tasks.train.__main__ import STAGE as TRAIN
from tasks.train.order import read_order
from tests.families import tiny_recipe, write_source
from tests.scratch import STAGES, run_stages, without_tracking, write_code


def write_recipe(name: str, content: dict[str, Any]) -> None:
    Path("recipes").mkdir(exist_ok=True)
    Path(f"recipes/{name}.yaml").write_text(yaml.safe_dump(content))


def part(name: str, file: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "files", "licence": f"licence of {name}", "files": [file]} | more


def write_words(path: Path, words: str, rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": f"{words} {number} " * 3}) + "\n" for number in range(rows)))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a mixture of three sources, one of them for evaluation only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mixed"))
        without_tracking(patch)
        write_source(Path("texts/words.jsonl"))
        write_words(Path("texts/ships.jsonl"), "the ships of the line sail", 90)
        write_words(Path("texts/exam.jsonl"), "a question that nobody trains on", 12)
        recipe = tiny_recipe("causal-lm", "texts/words.jsonl", shuffle="documents")
        recipe["ingest"] = {
            "sources": [
                part("words", "texts/words.jsonl", weight=0.7, documents={"group_column": "group"}),
                part("ships", "texts/ships.jsonl", weight=0.3),
                part("exam", "texts/exam.jsonl", split="test"),
            ]
        }
        recipe["validate"] = {
            "expectations": [
                {
                    "expectation": "expect_column_values_to_be_between",
                    "column": "words",
                    "max_value": 21,
                    "source": "ships",
                    "mostly": 0.5,
                },
                {"expectation": "expect_column_values_to_not_be_null", "column": "group"},
            ]
        }
        recipe["clean"]["sources"] = {"words": {"max_words": 8, "splits": {"test": 0.5}}}
        write_recipe("mixed", recipe)
        yield run_stages("mixed")


def of_part(folder: Path, column: str, name: str) -> list[str]:
    batches = [batch for batch in read_batches(folder, ["part", column])]
    return [row[column] for batch in batches for row in batch.to_pylist() if row["part"] == name]


def test_each_split_has_the_sources_in_order(mixed: Path) -> None:
    for split, names in (("train", ["words", "ships"]), ("test", ["words", "ships", "exam"])):
        found = [name for batch in read_batches(mixed / "clean" / split, ["part"]) for name in batch[0].to_pylist()]
        assert list(dict.fromkeys(found)) == names
        assert found == sorted(found, key=names.index)
        tokens = Tokens.open(mixed / "tokens" / split)
        assert read_parts(mixed / "tokens" / split, tokens)[-1][1].stop == len(found)
    assert all(name.startswith("ships:") for name in of_part(mixed / "clean" / "train", "id", "ships"))


def test_a_source_for_evaluation_only_is_in_no_other_split(mixed: Path) -> None:
    assert len(of_part(mixed / "clean" / "test", "id", "exam")) == 12
    for split in ("train", "validation"):
        assert not of_part(mixed / "clean" / split, "id", "exam")


def test_cleaning_and_splits_differ_by_source(mixed: Path) -> None:
    report = json.loads((mixed / "clean" / "report.json").read_text())
    assert {drop["reason"] for drop in report["dropped"]} == {"too_many_words"}
    rejected = pq.read_table(mixed / "clean" / "rejected.parquet")
    assert set(rejected["part"].to_pylist()) == {"words"}
    words, ships = (report["details"]["sources"][name] for name in ("words", "ships"))
    assert 0.35 < words["test"] / sum(words.values()) < 0.7
    assert ships["test"] / sum(ships.values()) < 0.35


def test_an_expectation_is_about_one_source(mixed: Path) -> None:
    report = json.loads((mixed / "valid" / "report.json").read_text())
    assert report["details"]["met"] == 2


def test_the_blocks_keep_to_the_weights(mixed: Path) -> None:
    seen = json.loads((mixed / "training" / "report.json").read_text())["details"]["sources"]
    assert {name: own["share"] for name, own in seen.items()} == {"words": 0.7, "ships": 0.3}


def test_scores_are_told_by_source(mixed: Path) -> None:
    metrics = json.loads((mixed / "evaluation" / "metrics.json").read_text())
    rows = pq.read_table(mixed / "evaluation" / "scores.parquet").to_pylist()
    assert set(metrics["by_part"]) == {"words", "ships", "exam"}
    for name, found in metrics["by_part"].items():
        own = [row for row in rows if row["part"] == name]
        nats, size = sum(row["loss"] for row in own), sum(row["bytes"] for row in own)
        assert found["documents"] == len(own)
        assert found["bits_per_byte"] == pytest.approx(nats / np.log(2) / size, abs=1e-5)


def test_rescoring_gives_the_bytes_of_the_stage(mixed: Path, tmp_path: Path) -> None:
    rescore("mixed", mixed / "model", tmp_path / "out")
    assert (tmp_path / "out/scores.parquet").read_bytes() == (mixed / "evaluation/scores.parquet").read_bytes()


def test_the_record_and_the_card_tell_each_source(mixed: Path) -> None:
    results = read_results("mixed")
    metrics = json.loads((mixed / "evaluation" / "metrics.json").read_text())
    bits = {name: own["bits_per_byte"] for name, own in metrics["by_part"].items()}
    assert {name: scores(results)[f"test_bits_per_byte/{name}"] for name in bits} == bits
    card = model_card(results)
    assert "licence of words (words), licence of ships (ships), licence of exam (exam)." in card
    assert f"\n| exam | 12 | {bits['exam']:.4f} |" in card
    assert "documents/exam" not in card
    assert re.search(r"- Of each source: words 70\.0% \(\d\.\d+ epochs\), ships 30\.0% \(\d\.\d+ epochs\)\n", card)
    assert set(slices(mixed / "clean" / "test", "source")) == set(bits)


def test_a_changed_weight_gives_the_same_documents_and_another_order(mixed: Path) -> None:
    recipe = yaml.safe_load(Path("recipes/mixed.yaml").read_text())
    raw, order = outputs(mixed / "raw"), read_order("mixed").resolved()
    recipe["ingest"]["sources"][0]["weight"] = 0.2
    write_recipe("other", recipe)
    run(import_module("tasks.ingest.__main__").STAGE, "other")
    assert outputs(Path("data/other/raw")) == raw
    assert read_order("other").resolved() != order


def test_profile_tells_the_epochs_of_each_source(mixed: Path) -> None:
    steps = measure("mixed", tokens_read=30_000).epochs
    assert list(steps) == ["words", "ships", "all"]
    assert steps["words"][0] * steps["words"][1] == pytest.approx(0.7 * 30_000)
    assert steps["all"] == (sum(steps[name][0] for name in ("words", "ships")), 30_000 / steps["all"][0])
    passes = measure("mixed", epochs=2).epochs
    assert passes["all"][1] == pytest.approx(2) and passes["ships"][1] != passes["words"][1]


def outputs(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_training_that_was_cut_off_goes_on_with_the_same_batches(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outputs(mixed / "model") | outputs(mixed / "training")
    shutil.rmtree(mixed / "checkpoints")
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "4")
    with pytest.raises(GristmillError, match="stopped after step 4"):
        run(TRAIN, "mixed")
    monkeypatch.delenv("GRISTMILL_STOP_AFTER")
    run(TRAIN, "mixed")
    assert outputs(mixed / "model") | outputs(mixed / "training") == whole


def test_any_number_of_workers_gives_the_same_bytes(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for workers in "12":
        monkeypatch.setenv("GRISTMILL_WORKERS", workers)
        shutil.rmtree(mixed / "scratch", ignore_errors=True)
        for stage in ("ingest", "validate", "clean", "tokenize"):
            run(import_module(f"tasks.{stage}.__main__").STAGE, "mixed")
        found.append({name: outputs(mixed / name) for name in ("raw", "valid", "clean", "tokenizer", "tokens")})
    assert found[0] == found[1]


def cleaned(name: str, parts: list[dict[str, Any]], **clean: Any) -> Path:
    """Run the stages up to `clean`."""
    recipe = tiny_recipe("causal-lm", "texts/words.jsonl")
    recipe["ingest"], recipe["clean"] = {"sources": parts}, recipe["clean"] | clean
    write_recipe(name, recipe)
    write_code()
    for stage in STAGES[1:4]:
        run(import_module(f"tasks.{stage}.__main__").STAGE, name)
    return Path("data") / name


def test_a_group_that_sources_put_into_two_splits_is_refused(mixed: Path) -> None:
    by_group = {"documents": {"group_column": "group"}}
    one, other = part("one", "texts/words.jsonl", **by_group), part("other", "texts/words.jsonl", **by_group)
    apart = {"across_sources": False}
    cleaned("both", [one, other], **apart)
    told = r"both\.yaml: clean\.splits: the group 'g\d+' is in \w+ by one and test by other; \d+ more are torn"
    with pytest.raises(DataError, match=told):
        cleaned("both", [one, other | {"split": "test"}], **apart)
    told = r"both\.yaml: clean\.sources\.other\.splits: the group 'g\d+' is in \w+ by one and \w+ by other; "
    with pytest.raises(DataError, match=told):
        cleaned("both", [one, other], sources={"other": {"splits": {"seed": 9}}}, **apart)
    with pytest.raises(DataError, match=r"the train split would be empty: all .* were dropped \(duplicate"):
        cleaned("both", [one, other | {"split": "test"}])


def test_a_source_without_a_document_left_is_told(mixed: Path) -> None:
    sources = [part("words", "texts/words.jsonl"), part("exam", "texts/exam.jsonl", split="test")]
    told = (
        r"gone\.yaml: clean: all 12 documents of the source exam were dropped \(too_few_words 12\); change the rules "
    )
    with pytest.raises(DataError, match=told):
        cleaned("gone", sources, sources={"exam": {"min_words": 1000}})


def test_several_languages_are_a_mixture_with_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model for two tasks that share their texts: the prefix says which one is asked."""
    monkeypatch.chdir(tmp_path)
    without_tracking(monkeypatch)
    write_source(Path("texts/words.jsonl"))
    recipe = tiny_recipe("translation", "texts/words.jsonl", like="summarization", steps=8, evaluation_documents=4)
    columns = {"group_column": "group", "target_column": "target"}
    recipe["ingest"] = {
        "sources": [
            part("capitals", "texts/words.jsonl", epochs=1.5, prefix="in capitals: ", documents=columns),
            part("again", "texts/words.jsonl", prefix="again: ", documents={**columns, "target_column": "text"}),
        ]
    }
    recipe["clean"] |= {"near_duplicates": {}, "across_sources": False}
    write_recipe("two", recipe)
    folder = run_stages("two")
    texts = of_part(folder / "clean" / "test", "text", "again")
    assert texts and all(text.startswith("again: ") for text in texts)
    groups = [set(of_part(folder / "clean" / split, "group", name)) for split in ("train", "test") for name in
              ("capitals", "again")]  # fmt: skip
    assert groups[0] == groups[1] and groups[2] == groups[3] and not groups[0] & groups[2]
    card = model_card(read_results("two"))
    assert "prefix of its source, as in training: `in capitals: ` (capitals), `again: ` (again)." in card
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert {"bleu", "chrf", "documents"} == set(metrics["by_part"]["again"])
    seen = json.loads((folder / "training" / "report.json").read_text())["details"]["sources"]
    assert seen["capitals"]["share"] == pytest.approx(0.6, abs=0.05)
    assert seen["capitals"]["epochs"] / seen["again"]["epochs"] == pytest.approx(1.5, abs=0.6)
