"""Preferences: log-probabilities as a plain loop gives them, against the base; length, drift; rescored and compared."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.compare.documents import read_documents, require_same
from tasks.compare.statistics import statistic
from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.rescore import rescore
from tasks.formats.conversation import answers, questions
from tasks.formats.usage import Usage
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tasks.train.__main__ import STAGE as TRAIN
from tests.evaluate.outputs import output_bytes, read_output, read_scores, read_signature
from tests.evaluate.preferences import PAIRS, preference_project, save, write_pairs, write_recipe
from tests.preferences import messages_of, pairs_of_words, word_llama, write_preference_tokens
from tests.scratch import without_tracking, write_code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word_tokenizer: Path) -> Path:
    """data/tiny with all inputs of the stage; made the current folder."""
    return preference_project(tmp_path, monkeypatch, word_tokenizer) / "data/tiny"


def plainly(folder: Path, tokenizer: Path) -> list[dict[str, float]]:
    """Log-probabilities of the answers and the loss of the plain text, one sequence at a time."""
    import torch
    import transformers

    from tasks.formats.chat_ids import ChatTemplate

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    template = ChatTemplate.open(tokenizer)

    def log_probability(ids: list[int], start: int) -> float:
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, start - 1 : -1].double().log_softmax(-1)
        return float(logits.gather(1, torch.tensor(ids[start:])[:, None]).sum())

    found = []
    for messages, rejected in PAIRS:
        other = [*messages[:-1], {"role": "assistant", "content": rejected}]
        start = len(template.prompt(messages[:-1]))
        one, two = (template.conversation(given).ids for given in (messages, other))
        text = template.tokenizer.encode(f"{questions(messages)}\n\n{answers(messages)}", add_special_tokens=False)
        found.append({
            "chosen": log_probability(one, start), "rejected": log_probability(two, start),
            "loss": -log_probability([1, *text], 1), "chosen_tokens": len(one) - start,
        })  # fmt: skip
    return found


def test_scores_and_metrics_are_those_of_a_plain_loop(project: Path, word_tokenizer: Path) -> None:
    run(STAGE, "tiny")
    rows, metrics = read_scores(), read_output("metrics.json")
    ours, base = (plainly(project / name, word_tokenizer) for name in ("model", "base"))
    margins = [
        one["chosen"] - two["chosen"] - one["rejected"] + two["rejected"] for one, two in zip(ours, base, strict=True)
    ]
    lengths = [len(m[-1]["content"].encode()) - len(r.encode()) for m, r in PAIRS]
    for row, one, two, margin, length in zip(rows, ours, base, margins, lengths, strict=True):
        for name in ("chosen", "rejected", "loss"):
            assert row[name] == pytest.approx(one[name], rel=1e-4)
            assert row[f"base_{name}"] == pytest.approx(two[name], rel=1e-4)
        assert row["margin"] == pytest.approx(margin, rel=1e-3, abs=1e-3) and row["length_difference"] == length
        assert row["correct"] == float(margin > 0) and row["chosen_tokens"] == one["chosen_tokens"]
    size = sum(len(f"{questions(m)}\n\n{answers(m)}".encode()) for m, _ in PAIRS)
    assert metrics["preference_accuracy"] == pytest.approx(np.mean(np.array(margins) > 0), abs=1e-6)
    assert metrics["preference_margin"] == pytest.approx(np.mean(margins), rel=1e-3)
    assert metrics["bits_per_byte"] == pytest.approx(sum(one["loss"] for one in ours) / math.log(2) / size, rel=1e-4)
    assert metrics["base_bits_per_byte"] == pytest.approx(sum(o["loss"] for o in base) / math.log(2) / size, rel=1e-4)
    likelier = [one["chosen"] > one["rejected"] for one in base]
    assert metrics["base_preference_accuracy"] == metrics["base_accuracy_by_likelihood"]
    assert metrics["base_preference_accuracy"] == pytest.approx(np.mean(likelier), abs=1e-6)
    assert metrics["longer_preference_accuracy"] == pytest.approx(np.mean(np.sign(lengths) / 2 + 0.5), abs=1e-6)
    assert metrics["length_correlation"] == pytest.approx(np.corrcoef(margins, lengths)[0, 1], abs=1e-3)
    assert sum(metrics[f"documents_chosen_{kind}"] for kind in ("longer", "shorter", "equal")) == len(PAIRS)
    for metric in ("preference_accuracy", "preference_margin", "bits_per_byte"):
        assert metrics[f"{metric}_low"] <= metrics[metric] <= metrics[f"{metric}_high"]
    gain = metrics["base_bits_per_byte"] - metrics["bits_per_byte"]
    assert metrics["bits_per_byte_gain"] == pytest.approx(gain, abs=2e-6)
    assert metrics["bits_per_byte_gain_low"] < gain < metrics["bits_per_byte_gain_high"]
    samples = read_output("samples.json")
    assert [sorted(sample) for sample in samples] == [
        ["chosen", "correct", "id", "margin", "messages", "prompt", "rejected", "text"]
    ] * 2
    assert {"task": "preference", "margin": "nats", "window": "512"}.items() <= read_signature().items()


def test_a_model_trained_on_preferences_prefers_more_often_than_its_base(
    project: Path, word_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By both stages, with the files that one writes for the other."""
    without_tracking(monkeypatch)
    write_code()
    train = {
        "steps": 40, "context_length": 64, "batch_tokens": 400, "precision": "fp32", "schedule": {"warmup_steps": 0},
        "optimizer": {"name": "adamw", "learning_rate": 0.003},
    }  # fmt: skip
    recipe = {"task": "preference", "model": {"init": {"kind": "folder", "path": "any"}}, "train": train}
    recipe["evaluate"] = {"generation": {"max_new_tokens": 5}}
    Path("recipes/tiny.yaml").write_text(json.dumps(recipe))
    shutil.copytree(word_tokenizer, project / "tokenizer")
    for split, count in (("train", 80), ("validation", 16)):
        shutil.rmtree(project / "tokens" / split, ignore_errors=True)
        write_preference_tokens(project / "tokens" / split, word_tokenizer, pairs_of_words(count, seed=count))
    held_out = pairs_of_words(20, seed=3)
    write_pairs(project / "clean/test", [(messages_of(q, a), b) for q, a, b in held_out], ["a", "b", "c", "d"] * 5)
    run(TRAIN, "tiny")
    report = run(STAGE, "tiny").details
    assert report["preference_accuracy"] >= 0.9 > 0.75 > report["base_preference_accuracy"]
    assert report["preference_accuracy_low"] > 0.7 and report["preference_margin"] > 1
    rows = (project / "training/history.csv").read_text().splitlines()
    assert rows[0].endswith(",validation_accuracy,validation_margin") and float(rows[-1].split(",")[-2]) >= 0.8


def test_the_bytes_are_the_same_for_any_number_of_workers_and_rescored(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for workers in ("1", "3"):
        monkeypatch.setenv("GRISTMILL_WORKERS", workers)
        run(STAGE, "tiny")
        found.append(output_bytes())
    assert found[0] == found[1]
    metrics = rescore("tiny", project / "model", tmp_path / "again")
    assert (tmp_path / "again/scores.parquet").read_bytes() == found[0]["evaluation/scores.parquet"]
    stage = json.loads(found[0]["evaluation/metrics.json"])
    assert metrics.items() <= stage.items() and metrics["signature"] == stage["signature"]


def test_the_base_itself_neither_prefers_nor_drifts(project: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        shutil.copy(project / "base" / name, project / "model" / name)
    run(STAGE, "tiny")
    metrics = read_output("metrics.json")
    assert (metrics["preference_accuracy"], metrics["preference_margin"]) == (0.5, 0)
    assert metrics["bits_per_byte"] == metrics["base_bits_per_byte"] and metrics["bits_per_byte_gain"] == 0
    assert metrics["length_correlation"] is None


def test_without_a_base_log_probabilities_take_the_place_of_log_ratios(project: Path) -> None:
    shutil.rmtree(project / "base")
    (project / "base").mkdir()
    run(STAGE, "tiny")
    rows, metrics = read_scores(), read_output("metrics.json")
    assert all(row["base_chosen"] is None for row in rows) and not any(key.startswith("base_") for key in metrics)
    assert all(row["margin"] == pytest.approx(row["chosen"] - row["rejected"], abs=2e-6) for row in rows)
    assert metrics["preference_accuracy"] == metrics["accuracy_by_likelihood"]
    assert read_signature()["base"] == "none"
    shutil.rmtree(project / "base")
    with pytest.raises(DataError, match=r"^data/tiny/base: not found; run the stage base: dvc repro base@tiny$"):
        rescore("tiny", project / "model", Path("again"))


def test_a_question_that_does_not_fit_is_cut_and_counted(project: Path, word_tokenizer: Path) -> None:
    for name in ("base", "model"):
        save(word_llama(max_position_embeddings=16), project / name, word_tokenizer)
    run(STAGE, "tiny")
    assert 0 < read_output("metrics.json")["cut"] < len(PAIRS)


def test_compare_computes_the_metrics_from_the_rows(project: Path, tmp_path: Path, word_tokenizer: Path) -> None:
    run(STAGE, "tiny")
    metrics, path = read_output("metrics.json"), project / "evaluation/scores.parquet"
    documents = read_documents(path, "preference")
    save(word_llama(seed=7), tmp_path / "other", word_tokenizer)
    Usage("preference", source_length=64).write(tmp_path / "other")
    rescore("tiny", tmp_path / "other", tmp_path / "scores")
    other = read_documents(tmp_path / "scores/scores.parquet", "preference")
    for metric in ("preference_accuracy", "preference_margin", "bits_per_byte"):
        assert statistic(documents, metric, {}).total() == pytest.approx(metrics[metric], abs=2e-6)
        require_same(documents, other, metric)


def test_what_cannot_be_scored_is_refused_in_one_sentence(project: Path, word_tokenizer: Path) -> None:
    def refuses(error: type[Exception], sentence: str) -> None:
        with pytest.raises(error, match=sentence):
            run(STAGE, "tiny")

    save(word_llama(max_position_embeddings=16), project / "model", word_tokenizer)
    write_recipe(generation={"max_new_tokens": 16})
    refuses(RecipeError, r"evaluate.generation.max_new_tokens: 16 leaves no room for a question in 16 positions$")
    write_recipe()
    index = project / "tokens/train/index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"template": "other"}))
    refuses(DataError, r"tokens/train/index.json: rendered with another chat template than that of data/tiny/model$")
    tokenizer = project / "base/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"w1"', '"v1"'))
    refuses(
        DataError, r"^data/tiny/base: its tokenizer differs from data/tiny/model, so their scores are not comparable"
    )
    (project / "model/chat_template.jinja").unlink()
    refuses(DataError, r"^data/tiny/model: no conversation can be rendered: the tokenizer has no chat template")
