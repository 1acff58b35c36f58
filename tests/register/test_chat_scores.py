"""What the record, the card and the tables show of an evaluation of chat."""

import json
from typing import Any

import pytest

from flows.cli.results import read_results as read_rows
from tasks.evaluate.settings import ChatGenerationSettings
from tasks.register.card import model_card
from tasks.register.results import read_results
from tasks.register.scores import measured, rest
from tasks.register.sync_run import scores
from tests.register import RECIPE, make_project, write_json

TURN = {"answers": 4, "bits_per_byte": 1.25, "chrf": 31.5, "rougeL": 20.0, "exact_match": 0.5, "ended": None}
METRICS: dict[str, Any] = {
    "bits_per_byte": 1.5, "chrf": 30.0, "rougeL": 21.0, "exact_match": 0.25, "ended": 1.0, "bits_per_byte_low": 1.25,
    "bits_per_byte_high": 1.75, "base_bits_per_byte": 2.0, "base_bits_per_byte_low": 1.75,
    "base_bits_per_byte_high": 2.25, "base_chrf": 10.0, "bits_per_byte_gain": 0.5, "bits_per_byte_gain_low": 0.375,
    "bits_per_byte_gain_high": 0.625, "chrf_gain": 20.0, "nearest_chrf": 12.0, "frequent_chrf": 5.0,
    "length_ratio": None, "tokens": 40, "documents": 3, "by_turn": {"1": TURN, "2": TURN | {"answers": 1}},
    "base_by_turn": {"1": TURN}, "signature": "task:chat|data:d",
}  # fmt: skip


@pytest.fixture
def chat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make_project(tmp_path)
    (tmp_path / "recipes/tiny.yaml").write_text(RECIPE % "chat")
    (tmp_path / "dvc.yaml").write_text("vars: [{recipes: {tiny: {}}}]\nstages: {}\n")
    generation = ChatGenerationSettings().model_dump()
    write_json(data / "evaluation/metrics.json", METRICS)
    write_json(data / "evaluation/report.json", {"stage": "evaluate", "details": {**METRICS, "generation": generation}})
    sample = {"id": "d1", "prompt": "what is a cat?", "text": "an animal", "reference": "a pet", "base": "cat cat"}
    write_json(data / "evaluation/samples.json", [sample])
    return data


def test_the_gain_stands_beside_the_base() -> None:
    found = {each.metric: each for each in measured("chat", METRICS)}
    bits = found["bits_per_byte"]
    assert (bits.interval, bits.gain, bits.gain_interval) == ((1.25, 1.75), 0.5, (0.375, 0.625))
    assert bits.told(str) == "base 2.0 (gain 0.5, 0.375 to 0.625)"
    assert found["chrf"].told(str) == "base 10.0 (gain 20.0), nearest 12.0, frequent 5.0"
    assert found["ended"].told(str) == ""
    assert rest("chat", METRICS) == {"tokens": 40, "documents": 3}


def test_the_run_has_the_gain_and_its_interval(chat) -> None:
    found = scores(read_results("tiny"))
    assert {name: value for name, value in found.items() if "bits" in name} == {
        "test_bits_per_byte": 1.5, "test_bits_per_byte_low": 1.25, "test_bits_per_byte_high": 1.75,
        "test_bits_per_byte_base": 2.0, "test_bits_per_byte_gain": 0.5, "test_bits_per_byte_gain_low": 0.375,
        "test_bits_per_byte_gain_high": 0.625,
    }  # fmt: skip


def test_the_card_shows_gains_turns_and_both_answers(chat) -> None:
    card = model_card(read_results("tiny"))
    assert "| bits_per_byte | 1.5000 | 1.2500 to 1.7500 | base 2.0000 (gain 0.5000, 0.3750 to 0.6250) |" in card
    assert "| chrf | 30.0000 |  | base 10.0000 (gain 20.0000), nearest 12.0000, frequent 5.0000 |" in card
    assert "| turn | answers | bits_per_byte | chrf | rougeL | exact_match | ended |\n|---|" in card
    assert "| 2 | 1 | 1.2500 | 31.5000 | 20.0000 | 0.5000 |  |" in card
    assert "what is a cat?\n→ an animal\nbefore training: cat cat\nreference: a pet\n" in card
    assert "\npipeline_tag: text-generation\n" in card


def test_the_table_of_results_shows_the_gain(chat) -> None:
    (rows, warnings) = read_rows(["tiny"])
    assert [row.baselines for row in rows] == ["base 2.000 (gain 0.5000, 0.3750 to 0.6250)"] and not warnings
    assert rows[0].score == "bits_per_byte 1.500 (1.250 to 1.750)"
    metrics = json.loads((chat / "evaluation/metrics.json").read_text())
    write_json(chat / "evaluation/metrics.json", {k: v for k, v in metrics.items() if "gain" not in k})
    assert [row.baselines for row in read_rows(["tiny"])[0]] == ["base 2.000"]
