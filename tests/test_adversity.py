"""Hostile texts through the data stages, with every rule on: nothing crashes, and nothing is lost without a reason."""

import json
import time
from importlib import import_module
from pathlib import Path

import pytest

from tasks.formats.tokens import Tokens
from tasks.stage.run import run
from tests.clean.corpus import rows
from tests.clean.rules.quality.perturbed import UNITS, made
from tests.scratch import write_code

RECIPE = """
task: causal-lm
ingest: {kind: files, licence: CC0, files: [texts/*], documents: {}}
validate: {max_problem_share: 0.5}
clean:
  mojibake: repair
  languages: {text: en, threshold: 0.99}
  quality: {preset: none, c4: {min_sentences: null}}
  blocked_words: {words: [blocked phrase]}
  privacy: {}
  near_duplicates: {}
  duplicate_paragraphs: {}
  contamination: {}
  splits: {validation: 0.1, test: 0.1}
tokenize: {vocab_size: 300}
"""
STAGES = ("ingest", "validate", "clean", "tokenize")


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_code()
    Path("recipes").mkdir()
    Path("texts").mkdir()
    Path("recipes/hostile.yaml").write_text(RECIPE, encoding="utf-8")
    lines = [json.dumps({"text": text}) for text in made(60, seed=5)]
    Path("texts/plain.jsonl").write_text("\n".join(lines), encoding="utf-8")


def through_all_stages() -> tuple[int, int, int]:
    """Documents that are rejected, that came through, and of those the tokens."""
    for stage in STAGES:
        run(import_module(f"tasks.{stage}.__main__").STAGE, "hostile")
    data = Path("data/hostile")
    splits = ("train", "validation", "test")
    kept = sum(len(rows(data / "clean" / split)) for split in splits)
    quarantined = len(rows(data / "quarantine.parquet"))
    rejected = len(rows(data / "clean" / "rejected.parquet"))
    tokens = [Tokens.open(data / "tokens" / split) for split in splits]
    assert sum(found.index.documents for found in tokens) == kept
    return rejected + quarantined, kept, sum(map(len, tokens))


def test_hostile_texts_are_kept_or_dropped_for_a_reason() -> None:
    texts = [unit * (100_000 // len(unit.encode())) for unit in UNITS.values()]
    texts += ["", " ", "\ud800 half a pair", "a\udfff", "\x00", "<" * 1000, "Ã©" * 1000, "\\" * 1000]
    Path("texts/hostile.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    Path("texts/bytes.txt").write_bytes(bytes(range(256)) * 40)
    gone, kept, _ = through_all_stages()
    assert gone + kept == 60 + len(texts) + 1
    assert kept >= 40


def test_deep_pages_take_a_time_in_proportion() -> None:
    recipe = RECIPE.replace("clean:", "clean:\n  html: main")
    Path("recipes/hostile.yaml").write_text(recipe, encoding="utf-8")
    units = ["<div>", "<article>a", "<ul><li>", "<table><tr><td>", "<b>", "<div><!--</div>-->"]
    spent = []
    for size in (20_000, 1_000_000):
        for place, unit in enumerate(units):
            Path(f"texts/{place}.txt").write_text(unit * (size // len(unit)) + "a word", encoding="utf-8")
        began = time.process_time()
        gone, kept, _ = through_all_stages()
        spent.append(time.process_time() - began)
        assert gone + kept == 60 + len(units)
        report = json.loads(Path("data/hostile/clean/report.json").read_text(encoding="utf-8"))
        assert report["details"]["rewritten"]["deep_html"] == len(units)
    assert spent[1] < spent[0] + 60, "pages that take a time in the square of their depth take many minutes"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("unit", ["a", "word ", "\n", "😀", "e\u0301\u0323", "\u200b", "שלום ", "Ã©", "<p>", "a@b.c "])
def test_a_text_of_a_hundred_megabytes_takes_a_time_in_proportion(unit: str) -> None:
    spent = []
    for size in (1_000_000, 10_000_000, 100_000_000):
        Path("texts/long.txt").write_text(unit * (size // len(unit.encode())), encoding="utf-8")
        began = time.process_time()
        gone, kept, _ = through_all_stages()
        spent.append(time.process_time() - began)
        assert gone + kept == 61
    assert spent[2] - spent[1] < 30 * max(spent[1] - spent[0], 0.5)
